-- Content types: one canonical name for each format. Browsers, phones and Storage send the same format under several
-- names, and with parameters (audio/webm;codecs=opus).

create function private.canonical_mime_type(p_content_type text)
returns text
-- In SQL it would be planned again for each recording.
language plpgsql
immutable
security invoker
parallel safe
set search_path = ''
as $$
declare
  v_name constant text := lower(btrim(split_part(p_content_type, ';', 1), E' \t\r\n'));
begin
  return case v_name
    when 'audio/mp3' then 'audio/mpeg'
    when 'audio/mpeg3' then 'audio/mpeg'
    when 'audio/mpg' then 'audio/mpeg'
    when 'audio/mpga' then 'audio/mpeg'
    when 'audio/x-mp3' then 'audio/mpeg'
    when 'audio/x-mpeg' then 'audio/mpeg'
    when 'audio/x-mpeg-3' then 'audio/mpeg'
    when 'audio/vnd.wave' then 'audio/wav'
    when 'audio/wave' then 'audio/wav'
    when 'audio/x-pn-wav' then 'audio/wav'
    when 'audio/x-wav' then 'audio/wav'
    when 'audio/m4a' then 'audio/mp4'
    when 'audio/mp4a-latm' then 'audio/mp4'
    when 'audio/x-m4a' then 'audio/mp4'
    when 'audio/x-mp4' then 'audio/mp4'
    when 'audio/aacp' then 'audio/aac'
    when 'audio/vnd.dlna.adts' then 'audio/aac'
    when 'audio/x-aac' then 'audio/aac'
    when 'audio/x-hx-aac-adts' then 'audio/aac'
    when 'application/ogg' then 'audio/ogg'
    when 'audio/opus' then 'audio/ogg'
    when 'audio/vorbis' then 'audio/ogg'
    when 'audio/x-ogg' then 'audio/ogg'
    when 'video/ogg' then 'audio/ogg'
    when 'audio/x-flac' then 'audio/flac'
    when 'audio/x-aiff' then 'audio/aiff'
    when 'audio/3gp' then 'audio/3gpp'
    when 'audio/3gpp2' then 'audio/3gpp'
    when 'audio/amr-wb' then 'audio/amr'
    when 'audio/x-amr' then 'audio/amr'
    when 'video/x-m4v' then 'video/mp4'
    when 'video/3gp' then 'video/3gpp'
    when 'video/3gpp2' then 'video/3gpp'
    when 'image/jpg' then 'image/jpeg'
    when 'image/pjpeg' then 'image/jpeg'
    when 'image/x-png' then 'image/png'
    when 'application/x-pdf' then 'application/pdf'
    else nullif(v_name, '')
  end;
end;
$$;
comment on function private.canonical_mime_type(text) is
  'The canonical name of a content type: lower case, without parameters, synonyms replaced. An unknown type keeps its '
  'name; null for null or an empty text. Equal to canonicalMimeType in _shared/contracts/mime-type.ts.';
