-- Whether a text has visible characters.

create function private.has_visible_text(p_text text)
returns boolean
-- In SQL it would be planned again for each text.
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return p_text ~ (
    '[^\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f'
    || '\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a'
    || '\U000e0000-\U000e0fff]'
  );
end;
$$;
comment on function private.has_visible_text(text) is
  'Whether a text has a visible character: not a space, not a control character, and not one that Unicode ignores by '
  'default (Default_Ignorable_Code_Point), such as a joiner, a direction mark or a filler. Equal to VISIBLE in '
  '_shared/contracts/plain-text.ts; a test compares the two character by character.';
