-- Keepsakes: rendered slideshows.

create table public.pdfs (
  id uuid not null default private.uuid_v7(),
  user_id uuid not null,
  slideshow_id uuid,
  job_id uuid,
  title text not null,
  pdf_url text not null,
  page_count integer not null,
  size_bytes bigint not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint pdfs_pkey primary key (id),
  constraint pdfs_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint pdfs_slideshow_fkey foreign key (slideshow_id, user_id) references public.slideshows (id, user_id)
    on delete set null (slideshow_id),
  constraint pdfs_job_fkey foreign key (job_id, user_id) references public.ai_jobs (id, user_id)
    on delete set null (job_id),
  constraint pdfs_job_key unique (job_id, user_id),
  constraint pdfs_title_length check (length(title) between 1 and 200),
  constraint pdfs_pdf_url_is_owners check (
    pdf_url ~ '^pdfs/[^/]+/.*[^/]$'
    and pdf_url !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'
    and split_part(pdf_url, '/', 2) = user_id::text
  ),
  constraint pdfs_page_count_is_positive check (page_count > 0),
  constraint pdfs_size_is_positive check (size_bytes > 0)
);
comment on table public.pdfs is 'A rendered keepsake. The job writes it; the owner may retitle or delete it.';
comment on column public.pdfs.slideshow_id is 'The slideshow that it shows; null once that is deleted.';
comment on column public.pdfs.job_id is 'The job that rendered it, of the same owner; null once that job is deleted.';
comment on column public.pdfs.pdf_url is 'The file in our Storage, as pdfs/<path>.';

create index pdfs_user_id_created_at_idx on public.pdfs (user_id, created_at desc, id desc);
create index pdfs_slideshow_id_idx on public.pdfs (slideshow_id, user_id);

alter table public.pdfs enable row level security;

create policy "users can read their own pdfs" on public.pdfs for select to authenticated
using (user_id = (select auth.uid()));

create policy "users can retitle their own pdfs" on public.pdfs for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy "users can remove their own pdfs" on public.pdfs for delete to authenticated
using (user_id = (select auth.uid()));

revoke all on public.pdfs from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.pdfs to service_role;
grant select, delete on public.pdfs to authenticated;
grant update (title) on public.pdfs to authenticated;

create trigger pdfs_touch_updated_at
before update on public.pdfs
for each row execute function private.touch_updated_at();

create trigger pdfs_refuse_title_length
before update of title on public.pdfs
for each row when (length(new.title) not between 1 and 200)
execute function private.refuse_text_length('title', '1', '200');

create trigger pdfs_record_file after delete or update of pdf_url on public.pdfs
for each row execute function private.record_storage_removal('pdf_url');

insert into private.storage_references (table_name, column_name) values ('public.pdfs', 'pdf_url');
