/**
 * Mutants that no attempt can detect: another layer still protects, or no right depends on what they change. Each is still
 * tested, and one that is detected must not be listed here.
 */
export interface Equivalent {
  /** The name of the mutant, or a pattern for all of a kind. */
  mutant: string | RegExp;
  reason: string;
}

export const EQUIVALENTS: Equivalent[] = [
  {
    mutant: "function create_ai_job: made security definer",
    reason:
      "It takes the owner from the token. The intake trigger checks the owner, the input and the earlier job itself.",
  },
  // Triggers that decide nothing.
  {
    mutant: /^trigger \w+ on \w+ \(touch_updated_at\): switched off$/,
    reason: "It keeps a time. No right depends on it.",
  },
  {
    mutant:
      /^trigger \w+ on \w+ \((record_(storage|provider|provider_call)_removal|abandon_upload)\): switched off$/,
    reason:
      "It records what must be removed elsewhere, in a schema that no caller can access.",
  },
  {
    mutant:
      "trigger ai_job_events_after_insert_broadcast on ai_job_events (broadcast_ai_job_events): switched off",
    reason:
      "It broadcasts each event to the topic of the job's owner. Who may join a topic is decided on realtime.messages.",
  },
  {
    mutant:
      "trigger pending_uploads_reserve on pending_uploads (reserve_upload): switched off",
    reason:
      "It limits how much callers may upload. The policy checks whose folder a reservation is in.",
  },
  {
    mutant:
      "trigger media_name_content_type on media (name_media_content_type): switched off",
    reason: "It gives a MIME type its usual name. No right depends on it.",
  },
  {
    mutant: /^trigger \w+ on \w+ \(refuse_text_length\): switched off$/,
    reason:
      "It refuses a length in words; the table's constraint refuses it too.",
  },
  {
    mutant:
      "trigger ai_job_types_name_input_mime_types on ai_job_types (name_input_mime_types): switched off",
    reason:
      "It completes the operator's own settings, which nobody else may write.",
  },
  {
    mutant:
      /^policy "users can upload into their own folder" on objects: with check without its condition \d+, \(u\.(stored_at IS NULL|expires_at > now\(\))\)$/,
    reason:
      "The caller's own used or expired reservation: it limits how much they upload, not where.",
  },
  {
    mutant:
      /^trigger \w+ on \w+ \((follow_updated_provider_calls|lock_voice_places|leave_ai_job_queue|finish_instead_of_requeue|derive_call_outcome|release_reserved_cost)\): switched off$/,
    reason:
      "It maintains counters, order, journal, breaker, accounts and the effects of a job's end, not access to them. The database tests cover it.",
  },
  {
    mutant:
      "trigger ai_jobs_after_delete_count on ai_jobs (count_deleted_ai_jobs): switched off",
    reason:
      "It counts for the console, into a schema that no caller can access. The database tests cover it.",
  },
  {
    mutant:
      /^trigger ai_jobs_validate_written_(once|output) on ai_jobs \(validate_written_once\): switched off$/,
    reason:
      "It checks the form of values, not whose they are. Its constraints compare no owners.",
  },
  {
    mutant:
      "trigger ai_jobs_fix_dependency on ai_jobs (keep_ai_job_dependency): switched off",
    reason:
      "Nobody is granted an update of depends_on_job_id. The trigger enforces it for the service.",
  },
  {
    mutant:
      /^table ai_(providers|prices|provider_spend|job_checkpoints): Row Level Security switched off$/,
    reason:
      "Nobody but the service is granted anything on it. The mutants that grant something are seen.",
  },

  {
    mutant: 'function public.get_ai_budget: without "l.user_id = auth.uid()"',
    reason:
      "It runs as the caller, who reads only their own and the default limits. The mutants of those policies are seen.",
  },
  {
    mutant: "function get_ai_budget: made security definer",
    reason:
      "It also requires the caller's own row. The mutants of the policies are seen.",
  },

  // Grants without an effect.
  {
    mutant:
      /^column (order_items\.line_total_minor|orders\.total_minor): (insert|update) granted to \w+$/,
    reason:
      "A generated column: Postgres refuses every write before it checks privileges.",
  },

  // Policies that another layer duplicates.
  {
    mutant:
      /^policy "(users can (rename their own avatars|change their own (calls|profile|slides|slideshows)|retitle their own (media|pdfs))|customers can change their own orders|users can ask to cancel or retry their own ai jobs)" on \w+: with check \(true\)$/,
    reason:
      "The check could only refuse another owner, and nobody is granted an update of the column that names the owner.",
  },
  {
    mutant:
      'policy "users can create ai jobs of their own" on ai_jobs: with check (true)',
    reason:
      "private.admit_ai_job refuses another owner before the policy is checked. The mutant of that check is seen.",
  },
  {
    mutant:
      /^policy "customers can add items to their own drafts" on order_items: with check (\(true\)|without its condition [123], .*)$/,
    reason:
      "private.fill_order_item refuses a foreign order, and one that is not a draft, before the policy is checked. The mutants of those checks are seen.",
  },
  {
    mutant:
      'policy "customers can change items of their own drafts" on order_items: with check (true)',
    reason:
      "Nobody is granted an update of order_id, so that an item stays in the order that the policy checked.",
  },
  {
    mutant:
      /^policy "customers can (change|remove) items of their own drafts" on order_items: (using )?without its condition 2, \(o\.user_id = .*$/,
    reason:
      "The condition reads orders as the caller, who sees only their own drafts: vendors see paid orders.",
  },
  {
    mutant:
      /: using without its condition \d, \(m\.user_id = \( SELECT auth\.uid\(\) AS uid\)\)$/,
    reason:
      "The condition reads vendor_members as the caller, who sees only their own memberships.",
  },
  {
    mutant:
      /: using without its condition \d, \(vendor_id (>=|<=) \( SELECT m\.vendor_id /,
    reason:
      "A bound for the planner: the condition before it names the same vendors.",
  },
  {
    mutant:
      'policy "signed-in users can read what vendors sell" on vendor_products: using without its condition 3, v.is_active',
    reason:
      "The condition reads vendors as the caller, who sees inactive ones only where the last condition admits their products anyway.",
  },
  {
    mutant:
      /^policy "(anyone can read the slides of a shared slideshow by link|users can read their own slides and shared ones by link)" on slideshow_items: using without its condition \d, (s\.is_published|\(s\.share_token = .*)$/,
    reason:
      "The condition reads slideshows as the caller, who sees only their own and the published one of the link.",
  },
  {
    mutant:
      /^policy "(anyone can read a shared slideshow by link|users can read their own slideshows and shared ones by link)" on slideshows: using without its condition \d, is_published$/,
    reason:
      "Only get_shared_slideshow sets the token, and it requires a published slideshow itself. The mutant of that check is seen.",
  },
  {
    mutant: "function get_shared_slideshow: made security definer",
    reason:
      "Its own conditions repeat the policies: this token, published, public copies.",
  },
  {
    mutant:
      /^policy "users can remove objects in their own folder" on objects: using without its condition 2, \(\(storage\.foldername/,
    reason:
      "Storage finds the row to remove by its name, and the policy for reading hides foreign ones.",
  },
  {
    mutant:
      /^policy "users can replace their own profile photos" on objects: (using|with check) \(true\)$/,
    reason:
      "The other clause requires the same of the row before or after. Opening both together is seen.",
  },
  {
    mutant:
      /^policy "users can replace their own profile photos" on objects: without its condition 2, \(\(storage\.foldername/,
    reason:
      "An update that finds its row by a column needs the policy for reading, for the row before and after it.",
  },

  // Constraints that a trigger duplicates.
  {
    mutant: "foreign key ai_jobs_dependency_fkey on ai_jobs: dropped",
    reason:
      "private.is_dependency_unfinished refuses a foreign job before the constraint is checked. The mutant of that check is seen.",
  },
  {
    mutant: "foreign key deliveries_order_fkey on deliveries: dropped",
    reason:
      "private.guard_delivery fills in the vendor of the order, which must not be null, and allows neither to change.",
  },
];
