-- Data of a small family, so that a fresh stack has something to show. For local stacks only, because the passwords are
-- public: where the Vault has no project_url that begins with http://, such as on a branch of a hosted project, it loads
-- nothing.
--
-- Accounts, all with the password family-album:
--   anna@example.com   has recordings, a finished job of each type, a slideshow with a share link, and an order
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
  v_recording uuid;
  v_voice constant uuid := gen_random_uuid();
  v_slideshow uuid;
  v_pdf uuid;
  v_order uuid;
  v_job public.ai_jobs;
  v_call uuid;
  v_made record;
  v_completion jsonb;
  v_error jsonb;
  -- What the simulated recordings say.
  v_spoken constant text :=
    'And Mister John Dashwood had then leisure to consider how much there might be prudently in his power to do for them. '
    'He was not an ill-disposed young man, unless to be rather cold-hearted and rather selfish is to be ill-disposed.';
  v_transcript constant jsonb := jsonb_build_object(
    'language_code', 'en', 'duration_seconds', 12, 'speakers', jsonb_build_array('Grete'), 'words', '[]'::jsonb,
    'text',
    E'Grete: And Mister John Dashwood had then leisure to consider how much there might be prudently in his power to do for them.\n'
      'Grete: He was not an ill-disposed young man, unless to be rather cold-hearted',
    'segments', '[
      {
        "speaker": "Grete", "start": 0.2, "end": 6.8,
        "text": "And Mister John Dashwood had then leisure to consider how much there might be prudently in his power to do for them."
      },
      {
        "speaker": "Grete", "start": 7.4, "end": 12,
        "text": "He was not an ill-disposed young man, unless to be rather cold-hearted"
      }
    ]'::jsonb
  );
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
  insert into public.media (
    user_id, media_type, storage_path, file_name, content_type, size_bytes, duration_seconds, title, created_at
  ) values (
    v_anna, 'audio', 'recordings/' || v_anna || '/sunday-call.m4a', 'sunday-call.m4a', 'audio/mp4', 50659, 12,
    'Sunday call with Grandma Grete', now() - interval '9 days'
  ) returning id into v_recording;
  insert into public.calls (user_id, title, recording_id, held_at)
  values (v_anna, 'Sunday call with Grandma Grete', v_recording, now() - interval '9 days')
  returning id into v_call;

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

  -- One job of each type, through the functions of the queue. The files that jobs name must be in Storage by then.
  insert into storage.objects (bucket_id, name, owner, owner_id, metadata)
  select f.bucket, v_anna || '/' || f.name, v_anna, v_anna::text,
    jsonb_build_object('size', f.size, 'mimetype', f.mime_type, 'contentLength', f.size, 'cacheControl', 'max-age=3600')
  from (
    values
      ('voice-samples', 'grandpa-josef.mp3', 124153, 'audio/mpeg'),
      ('recordings', 'sunday-call.m4a', 50659, 'audio/mp4'),
      ('uploads', 'grandpa-josef.jpg', 3147, 'image/jpeg')
  ) as f (bucket, name, size, mime_type);
  for v_made in
    select m.*
    from (
      values
        (
          interval '9 days', 'transcription', 'recordings/' || v_anna || '/sunday-call.m4a',
          jsonb_build_object('call_id', v_call), 'transcribe', 12, 'seed_transcript_call',
          'outputs/' || v_anna || '/sunday-call.json',
          jsonb_build_object(
            'provider_transcription_id', 'seed_transcript_call', 'text', v_transcript ->> 'text', 'is_text_cut', false,
            'language_code', 'en', 'duration_seconds', 12, 'word_count', 38, 'speaker_count', 1, 'content_type', 'application/json'
          ),
          jsonb_build_object(
            'kind', 'transcript', 'call_id', v_call, 'transcript', v_transcript ->> 'text', 'duration_seconds', 12,
            'transcript_data', v_transcript
          )
        ),
        (
          interval '8 days', 'voice_clone', 'voice-samples/' || v_anna || '/grandpa-josef.mp3',
          '{"voice_name": "Grandpa Josef", "description": "warm and slow"}', 'create_voice', 1, 'seedVoiceOfGrandpa01',
          null,
          jsonb_build_object(
            'voice_id', v_voice, 'provider_voice_id', 'seedVoiceOfGrandpa01', 'voice_name', 'Grandpa Josef'
          ),
          jsonb_build_object('id', v_voice) || '{
            "kind": "voice", "provider_voice_id": "seedVoiceOfGrandpa01", "name": "Grandpa Josef",
            "description": "warm and slow", "labels": {"language": "en"},
            "stability": 0.5, "similarity_boost": 0.75
          }'
        ),
        (
          interval '6 days', 'text_to_speech', null,
          jsonb_build_object('text', v_spoken, 'voice_id', v_voice), 'text_to_speech:1', length(v_spoken), 'seed_speech_of_grandpa',
          'outputs/' || v_anna || '/grandpa-reads.mp3',
          jsonb_build_object(
            'voice_id', v_voice, 'model', 'eleven_multilingual_v2', 'character_count', length(v_spoken), 'part_count', 1,
            'stability', 0.5, 'duration_seconds', 24.79, 'size_bytes', 124153, 'content_type', 'audio/mpeg'
          ),
          null
        ),
        (
          interval '4 days', 'avatar_video', 'uploads/' || v_anna || '/grandpa-josef.jpg',
          jsonb_build_object(
            'name', 'Grandpa tells of the lake', 'audio_url', 'voice-samples/' || v_anna || '/grandpa-josef.mp3'
          ),
          'create_video', 25, 'seed_tlk_grandpa', 'outputs/' || v_anna || '/grandpa-tells-of-the-lake.mp4',
          '{"provider": "d-id", "provider_video_id": "seed_tlk_grandpa", "duration_seconds": 24.79, "size_bytes": 287177}',
          jsonb_build_object('voice_id', v_voice) || '{
            "kind": "avatar", "provider_video_id": "seed_tlk_grandpa", "name": "Grandpa tells of the lake",
            "duration_seconds": 24.79
          }'
        ),
        (
          interval '2 days', 'pdf_render', null, jsonb_build_object('slideshow_id', v_slideshow, 'page_size', 'square', 'title', 'Summer at the Attersee'),
          null, null, null, 'pdfs/' || v_anna || '/summer-at-the-attersee.pdf',
          jsonb_build_object('slideshow_id', v_slideshow) || '{
            "title": "Summer at the Attersee", "page_size": "square", "page_count": 8, "size_bytes": 175657,
            "omitted_picture_count": 0, "omitted_character_count": 0, "omitted_character_sample": null,
            "captions_incomplete": [], "photos_too_small": [], "photos_without_end": [], "content_type": "application/pdf"
          }',
          jsonb_build_object('slideshow_id', v_slideshow) || '{
            "kind": "pdf", "title": "Summer at the Attersee", "page_count": 8, "size_bytes": 175657
          }'
        )
    ) as m (age, job_type, input_url, metadata, operation, units, object_id, output_url, result_data, product)
  loop
    -- Due later, so that no worker claims it first.
    insert into public.ai_jobs (user_id, job_type, input_url, metadata, scheduled_at)
    values (v_anna, v_made.job_type, v_made.input_url, v_made.metadata, now() + interval '1 hour')
    returning * into v_job;
    update public.ai_jobs as j set scheduled_at = now() where j.id = v_job.id;
    select j.* into strict v_job
    from public.ai_job_types as t
    cross join lateral public.claim_ai_jobs(1, array[v_job.id], t.worker) as j
    where t.job_type = v_made.job_type;
    v_completion := jsonb_build_object(
      'job_id', v_job.id, 'lease_token', v_job.lease_token, 'result_data', v_made.result_data,
      'output_url', v_made.output_url, 'product', v_made.product
    );
    if v_made.operation is not null then
      select v_completion || jsonb_build_object(
        'call_id', c.call_id, 'outcome', 'succeeded', 'provider_object_id', v_made.object_id, 'progress', 70
      )
      into strict v_completion
      from public.begin_provider_calls(jsonb_build_array(jsonb_build_object(
        'job_id', v_job.id, 'lease_token', v_job.lease_token, 'call_id', gen_random_uuid(),
        'operation', v_made.operation, 'progress', 30, 'stage', 'calling_provider', 'units', v_made.units
      ))) as c;
    end if;
    select d.error into strict v_error from public.complete_ai_jobs(jsonb_build_array(v_completion)) as d;
    if v_error is not null then
      raise exception 'the % of the seed data was not completed: %', v_made.job_type, v_error;
    end if;
    update public.ai_jobs as j
    set created_at = j.created_at - v_made.age, scheduled_at = j.scheduled_at - v_made.age,
      started_at = j.started_at - v_made.age, completed_at = j.completed_at - v_made.age
    where j.id = v_job.id;
    update public.ai_job_events as e set created_at = e.created_at - v_made.age where e.job_id = v_job.id;
    update public.ai_provider_calls as c
    set sent_at = c.sent_at - v_made.age, settled_at = c.settled_at - v_made.age
    where c.job_id = v_job.id;
    -- The counts of the jobs before have their age already. Without it, the charts would show all of this as work of now.
    update private.ai_counter_queue as q set counted_at = q.counted_at - v_made.age where q.counted_at > now() - interval '1 day';
  end loop;
  select p.id into strict v_pdf from public.pdfs as p where p.user_id = v_anna;

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
