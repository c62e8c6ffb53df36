-- A signed call of one of our Edge Functions.

create function private.post_signed(p_function text, p_body jsonb, p_message_id text default null)
returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_url text;
  v_secret text;
  v_base64 text;
  v_message_id constant text := coalesce(p_message_id, 'msg_' || replace(gen_random_uuid()::text, '-', ''));
  v_timestamp text := floor(extract(epoch from clock_timestamp()))::bigint::text;
  v_signature text;
begin
  select
    max(s.decrypted_secret) filter (where s.name = 'project_url'),
    max(s.decrypted_secret) filter (where s.name = 'dispatch_secret')
  into v_url, v_secret
  from vault.decrypted_secrets as s
  where s.name in ('project_url', 'dispatch_secret');
  v_base64 := substr(v_secret, length('whsec_') + 1);
  -- A secret in another format (the receiver checks the same: whsec_ and at least 24 bytes in base64) would sign with a
  -- different key, and every call would be refused.
  if v_url is null
    or coalesce(
      v_secret !~ '^whsec_[A-Za-z0-9+/]+={0,2}$' or length(v_base64) % 4 <> 0 or length(rtrim(v_base64, '=')) < 32,
      true
    )
  then
    raise log 'nothing is dispatched to %: the Vault has no project_url, or no dispatch_secret of the form whsec_<base64>', p_function;
    return null;
  end if;

  -- Standard Webhooks: HMAC-SHA256 over id.timestamp.body with the decoded secret, in base64.
  v_signature := 'v1,' || encode(
    extensions.hmac(
      convert_to(v_message_id || '.' || v_timestamp || '.' || p_body::text, 'UTF8'),
      decode(v_base64, 'base64'),
      'sha256'
    ),
    'base64'
  );
  return net.http_post(
    url := rtrim(v_url, '/') || '/functions/v1/' || p_function,
    body := p_body,
    headers := jsonb_build_object(
      'Content-Type', 'application/json',
      'webhook-id', v_message_id,
      'webhook-timestamp', v_timestamp,
      'webhook-signature', v_signature
    ),
    timeout_milliseconds := 5000
  );
exception when others then
  -- A dispatch must not undo the insert that caused it: the schedule delivers later. The message of an error here
  -- could quote the secret, so only its code is written.
  raise warning '% could not be dispatched to (%); the schedule will', p_function, sqlstate;
  return null;
end;
$$;
comment on function private.post_signed(text, jsonb, text) is
  'Calls one of our Edge Functions by pg_net, signed with the Vault''s dispatch_secret. Returns the pg_net request id, or '
  'null when it could not be sent. Never raises. Security definer because the causing role may read neither the Vault nor '
  'schema net.';
