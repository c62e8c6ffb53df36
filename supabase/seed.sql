-- Data of a small family, so that a fresh stack has something to show. For local stacks only, because the passwords are
-- public: where the Vault has no project_url that begins with http://, such as on a branch of a hosted project, it loads
-- nothing.
--
-- Accounts, all with the password family-album:
--   anna@example.com   has recordings, a voice, an avatar, a slideshow with a share link, a keepsake and an order
--   paul@example.com   has an unfinished order
--   shop@example.com   works for the vendor and sees Anna's order
--   ops@example.com    is an operator and may use the console
--
-- The embedded stack puts the files of these rows into Storage (dev/seed). Elsewhere they are missing, and opening one
-- returns an error. Running this file again changes nothing.

do $seed$
declare
  v_anna constant uuid := 'a11a0000-0000-4000-8000-000000000001';
  v_paul constant uuid := 'a11a0000-0000-4000-8000-000000000002';
  v_clerk constant uuid := 'a11a0000-0000-4000-8000-000000000003';
  v_operator constant uuid := 'a11a0000-0000-4000-8000-000000000004';
  v_vendor constant uuid := 'a11a0000-0000-4000-8000-000000000010';
  v_book constant uuid := 'a11a0000-0000-4000-8000-000000000011';
  v_cards constant uuid := 'a11a0000-0000-4000-8000-000000000012';
  v_calendar constant uuid := 'a11a0000-0000-4000-8000-000000000013';
  v_sample constant text := 'voice-samples/' || v_anna || '/grandpa-josef.mp3';
  v_recording uuid;
  v_portrait uuid;
  v_voice constant uuid := gen_random_uuid();
  v_slideshow uuid;
  v_pdf uuid;
  v_order uuid;
  v_job public.ai_jobs;
  v_call uuid;
begin
  if not exists (
    select 1 from vault.decrypted_secrets as s where s.name = 'project_url' and s.decrypted_secret like 'http://%'
  ) then
    raise warning 'the seed data was not loaded: its passwords are public, and the project_url in the Vault is not that of a local stack (http://…)';
    return;
  end if;
  if exists (select 1 from auth.users as u where u.id = v_anna) then
    return;
  end if;

  -- Auth expects empty text, not null, in the token columns.
  insert into auth.users (
    instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data,
    created_at, updated_at, confirmation_token, recovery_token, email_change, email_change_token_new
  )
  select
    '00000000-0000-0000-0000-000000000000', p.id, 'authenticated', 'authenticated', p.email,
    extensions.crypt('family-album', extensions.gen_salt('bf', 10)), now(),
    jsonb_build_object('provider', 'email', 'providers', jsonb_build_array('email')) || p.app_meta_data,
    jsonb_build_object('sub', p.id, 'email', p.email, 'email_verified', true, 'phone_verified', false),
    now(), now(), '', '', '', ''
  from (
    values
      (v_anna, 'anna@example.com', '{}'::jsonb),
      (v_paul, 'paul@example.com', '{}'),
      (v_clerk, 'shop@example.com', '{}'),
      (v_operator, 'ops@example.com', '{"role": "ai_operator"}')
  ) as p (id, email, app_meta_data);

  insert into auth.identities (id, provider, provider_id, user_id, identity_data, last_sign_in_at, created_at, updated_at)
  select
    gen_random_uuid(), 'email', u.id::text, u.id, jsonb_build_object('sub', u.id, 'email', u.email, 'email_verified', true),
    now(), now(), now()
  from auth.users as u
  where u.id in (v_anna, v_paul, v_clerk, v_operator);

  insert into public.profiles (user_id, display_name, locale)
  values (v_anna, 'Anna Berger', 'de-AT'), (v_paul, 'Paul Berger', 'de-AT'), (v_clerk, 'Lindner Printing', 'de-AT');

  -- Recordings and photos.
  insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes, title, created_at)
  select
    v_anna, 'image', 'uploads/' || v_anna || '/' || p.file_name, p.file_name, 'image/jpeg', p.size_bytes, p.title,
    now() - p.days * interval '1 day'
  from (
    values
      ('attersee-morning.jpg', 39758, 'Seven in the morning', 41),
      ('attersee-boat.jpg', 37817, 'Paul sails, Grandpa steers', 40),
      ('attersee-rain.jpg', 33838, 'Cards, because it rained', 39),
      ('attersee-evening.jpg', 43175, 'The last evening', 38),
      ('grandpa-josef.jpg', 3147, 'Grandpa Josef, 2019', 38)
  ) as p (file_name, size_bytes, title, days);
  select m.id into v_portrait from public.media as m where m.user_id = v_anna and m.file_name = 'grandpa-josef.jpg';
  insert into public.media (
    user_id, media_type, storage_path, file_name, content_type, size_bytes, duration_seconds, title, created_at
  ) values (
    v_anna, 'audio', 'recordings/' || v_anna || '/sunday-call.m4a', 'sunday-call.m4a', 'audio/mp4', 50659, 12,
    'Sunday call with Grandma Grete', now() - interval '9 days'
  ) returning id into v_recording;
  insert into public.calls (user_id, title, recording_id, held_at, duration_seconds, transcript, transcript_data)
  values (
    v_anna, 'Sunday call with Grandma Grete', v_recording, now() - interval '9 days', 12,
    E'Grete: And Mister John Dashwood had then leisure to consider how much there might be prudently in his power to do for them.\n'
      'Grete: He was not an ill-disposed young man, unless to be rather cold-hearted',
    '{
      "language_code": "en",
      "segments": [
        {
          "speaker": "Grete", "start": 0.2, "end": 6.8,
          "text": "And Mister John Dashwood had then leisure to consider how much there might be prudently in his power to do for them."
        },
        {
          "speaker": "Grete", "start": 7.4, "end": 12,
          "text": "He was not an ill-disposed young man, unless to be rather cold-hearted"
        }
      ]
    }'
  );

  -- A voice, created by a job that passes through the queue. It is due later, so that no worker claims it first.
  insert into storage.objects (bucket_id, name, owner, owner_id, metadata)
  values (
    'voice-samples', v_anna || '/grandpa-josef.mp3', v_anna, v_anna::text,
    '{"size": 124153, "mimetype": "audio/mpeg", "contentLength": 124153, "cacheControl": "max-age=3600"}'
  );
  insert into public.ai_jobs (user_id, job_type, input_url, metadata, scheduled_at)
  values (
    v_anna, 'voice_clone', v_sample, '{"voice_name": "Grandpa Josef", "description": "warm and slow"}',
    now() + interval '1 hour'
  ) returning * into v_job;
  update public.ai_jobs as j set scheduled_at = now() where j.id = v_job.id;
  select * into strict v_job from public.claim_ai_jobs(1, array[v_job.id]);
  select c.call_id into strict v_call
  from public.begin_provider_calls(jsonb_build_array(jsonb_build_object(
    'job_id', v_job.id, 'lease_token', v_job.lease_token, 'call_id', gen_random_uuid(),
    'operation', 'create_voice', 'progress', 30, 'stage', 'calling_provider'
  ))) as c;
  perform 1
  from public.settle_provider_calls(jsonb_build_array(jsonb_build_object(
    'job_id', v_job.id, 'lease_token', v_job.lease_token, 'call_id', v_call,
    'outcome', 'succeeded', 'provider_object_id', 'seedVoiceOfGrandpa01', 'http_status', 200, 'progress', 70
  )));
  perform 1
  from public.complete_ai_jobs(jsonb_build_array(jsonb_build_object(
    'job_id', v_job.id, 'lease_token', v_job.lease_token,
    'result_data', jsonb_build_object(
      'voice_id', v_voice, 'provider_voice_id', 'seedVoiceOfGrandpa01', 'voice_name', 'Grandpa Josef'
    ),
    'product', jsonb_build_object('id', v_voice) || '{
      "kind": "voice", "provider_voice_id": "seedVoiceOfGrandpa01", "name": "Grandpa Josef",
      "description": "warm and slow", "labels": {"language": "en"},
      "stability": 0.5, "similarity_boost": 0.75
    }'::jsonb
  )));

  insert into public.avatars (
    user_id, voice_id, photo_id, name, provider, provider_video_id, video_url, duration_seconds
  ) values (
    v_anna, v_voice, v_portrait, 'Grandpa tells of the lake', 'd-id', 'seed_tlk_grandpa',
    'outputs/' || v_anna || '/grandpa-tells-of-the-lake.mp4', 24.79
  );

  -- A shared slideshow, and the book made from it.
  insert into public.slideshows (user_id, title, description, is_published)
  values (v_anna, 'Summer at the Attersee', 'Four days, one of them wet.', true)
  returning id into v_slideshow;
  insert into public.slideshow_items (user_id, slideshow_id, media_id, position, caption, public_path)
  select
    v_anna, v_slideshow, m.id, row_number() over (order by m.created_at, m.file_name) - 1, m.title,
    'published-media/' || v_anna || '/' || m.file_name
  from public.media as m
  where m.user_id = v_anna and m.file_name like 'attersee-%';
  insert into public.pdfs (user_id, slideshow_id, title, pdf_url, page_count, size_bytes)
  values (
    v_anna, v_slideshow, 'Summer at the Attersee', 'pdfs/' || v_anna || '/summer-at-the-attersee.pdf', 8, 175657
  ) returning id into v_pdf;

  -- The shop.
  insert into public.vendors (id, name, country) values (v_vendor, 'Lindner Printing', 'AT');
  insert into public.vendor_members (vendor_id, user_id) values (v_vendor, v_clerk);
  insert into public.vendor_products (id, vendor_id, sku, name, unit_price_minor, currency)
  values
    (v_book, v_vendor, 'BOOK-SQUARE', 'Photo book, square', 2490, 'EUR'),
    (v_cards, v_vendor, 'CARDS-10', 'Ten photo cards', 1290, 'EUR'),
    (v_calendar, v_vendor, 'CALENDAR-A4', 'Wall calendar A4', 1990, 'EUR');

  insert into public.orders (user_id, vendor_id, currency, shipping_address)
  values (
    v_anna, v_vendor, 'EUR',
    '{"name": "Grete Berger", "line1": "Seestrasse 12", "postal_code": "4864", "city": "Attersee", "country": "AT"}'
  ) returning id into v_order;
  insert into public.order_items (order_id, product_id, pdf_id, quantity)
  values (v_order, v_book, v_pdf, 2), (v_order, v_cards, null, 1);
  update public.orders as o set shipping_minor = 490 where o.id = v_order;
  update public.orders as o set status = 'placed' where o.id = v_order;
  insert into public.payments (order_id, provider, provider_payment_id, status, amount_minor, currency)
  select o.id, 'stripe', 'pi_seed_0001', 'captured', o.total_minor, o.currency from public.orders as o where o.id = v_order;
  update public.orders as o set status = 'paid' where o.id = v_order;
  update public.orders as o set status = 'in_production' where o.id = v_order;
  insert into public.deliveries (order_id, carrier, tracking_number, status)
  values (v_order, 'post-at', 'SEED-1000-0001', 'shipped');
  update public.orders as o set status = 'shipped' where o.id = v_order;

  insert into public.orders (user_id, vendor_id, currency) values (v_paul, v_vendor, 'EUR') returning id into v_order;
  insert into public.order_items (order_id, product_id, quantity) values (v_order, v_calendar, 3);
end;
$seed$;
