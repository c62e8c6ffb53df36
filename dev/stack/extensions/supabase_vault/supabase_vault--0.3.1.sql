-- Stand-in for supabase_vault 0.3: the same table, view and functions. The real one encrypts with a key that
-- lives outside the database. This one encrypts with pgcrypto (AES) under a key that is stored next to the secrets, so
-- that vault.secrets shows what it would show on a hosted project. It protects nothing on this machine's disk.

create table vault._stand_in_key (key bytea not null);
insert into vault._stand_in_key (key) values (@extschema:pgcrypto@.gen_random_bytes(32));

create table vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text,
  description text not null default '',
  secret text not null,
  key_id uuid,
  nonce bytea default @extschema:pgcrypto@.gen_random_bytes(16),
  created_at timestamptz not null default current_timestamp,
  updated_at timestamptz not null default current_timestamp
);
comment on table vault.secrets is
  'Table with encrypted `secret` column for storing sensitive information on disk.';
create unique index on vault.secrets using btree (name) where name is not null;

create function vault._encrypt(message text, nonce bytea) returns text
language sql stable security definer set search_path = '' as $$
  select pg_catalog.encode(
    @extschema:pgcrypto@.encrypt_iv(
      pg_catalog.convert_to(message, 'UTF8'), k.key, nonce, 'aes-cbc/pad:pkcs'
    ),
    'base64'
  )
  from vault._stand_in_key k
$$;

create function vault._decrypt(secret text, nonce bytea) returns text
language sql stable security definer set search_path = '' as $$
  select pg_catalog.convert_from(
    @extschema:pgcrypto@.decrypt_iv(
      pg_catalog.decode(secret, 'base64'), k.key, nonce, 'aes-cbc/pad:pkcs'
    ),
    'UTF8'
  )
  from vault._stand_in_key k
$$;

create view vault.decrypted_secrets as
select s.id,
  s.name,
  s.description,
  s.secret,
  vault._decrypt(s.secret, s.nonce) as decrypted_secret,
  s.key_id,
  s.nonce,
  s.created_at,
  s.updated_at
from vault.secrets s;

create function vault.create_secret(
  new_secret text,
  new_name text default null,
  new_description text default '',
  new_key_id uuid default null
) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
  fresh_nonce bytea := @extschema:pgcrypto@.gen_random_bytes(16);
  secret_id uuid;
begin
  insert into vault.secrets (secret, nonce, name, description)
  values (vault._encrypt(new_secret, fresh_nonce), fresh_nonce, new_name, new_description)
  returning id into secret_id;
  return secret_id;
end
$$;

create function vault.update_secret(
  secret_id uuid,
  new_secret text default null,
  new_name text default null,
  new_description text default null,
  new_key_id uuid default null
) returns void
language plpgsql security definer set search_path = '' as $$
begin
  update vault.secrets s
  set secret = case
      when new_secret is null then s.secret
      else vault._encrypt(new_secret, s.nonce)
    end,
    name = coalesce(new_name, s.name),
    description = coalesce(new_description, s.description),
    updated_at = now()
  where s.id = secret_id;
end
$$;

-- As hosted: the project owner, who may pass it on, and service_role.
revoke execute on all functions in schema vault from public;
grant usage on schema vault to service_role;
grant usage on schema vault to postgres with grant option;
grant select, delete on vault.secrets, vault.decrypted_secrets to service_role;
grant select, delete on vault.secrets, vault.decrypted_secrets to postgres with grant option;
grant execute on function
  vault._decrypt(text, bytea),
  vault.create_secret(text, text, text, uuid),
  vault.update_secret(uuid, text, text, text, uuid)
  to service_role;
grant execute on function
  vault._decrypt(text, bytea),
  vault.create_secret(text, text, text, uuid),
  vault.update_secret(uuid, text, text, text, uuid)
  to postgres with grant option;
