-- The error for a text that an app writes directly into a table and that is too long or empty.

create function private.refuse_text_length()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  raise exception '% must have % to % characters; it has %',
    tg_argv[0], tg_argv[1], tg_argv[2], length(to_jsonb(new) ->> tg_argv[0])
    using errcode = 'AJ077', detail = tg_argv[0];
end;
$$;
comment on function private.refuse_text_length() is
  'Row trigger for a text of the wrong length: raises AJ077 with the column, the limits and the length. Arguments: column, '
  'least and most characters; the trigger''s condition compares them. The table''s constraint has the same limits, but its '
  'error names only the constraint.';
