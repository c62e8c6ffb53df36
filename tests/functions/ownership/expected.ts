/**
 * Who may do what: the declaration that the running API is compared with. Everything not declared here is refused.
 *
 * The matrix fails for anything new until it is declared here, with rows in fixture.ts.
 */
import type { Declaration, FunctionDeclaration } from "./declaration.ts";

/** A foreign key over (id, user_id): not even the service can reference another owner's row. */
const SAME_OWNER = {
  users: "refused 23503",
  service: "refused 23503",
} as const;

/** Written only by the service, in the statement that reads the job; no key compares the two owners. */
const FROM_THE_JOB = { service: "written" } as const;

/** The service calls them for an operator; they refuse everyone else themselves. */
const OF_OPERATORS: FunctionDeclaration = {
  roles: ["service_role"],
  service: "refused AJ095",
};

export const EXPECTED: Declaration = {
  relations: {
    ai_job_types: {
      rows: { enabled: { "signed in": "select" }, disabled: {} },
      columns: {
        select: [
          "job_type",
          "provider",
          "other_providers",
          "worker",
          "is_enabled",
          "paused_at",
          "max_age_seconds",
          "max_attempts",
          "lease_seconds",
          "backoff_base_seconds",
          "backoff_max_seconds",
          "reconcile_seconds",
          "is_input_required",
          "input_name",
          "input_buckets",
          "input_mime_types",
          "input_max_bytes",
          "cache_ttl_seconds",
          "stock_voice_ids",
          "hooks",
          "created_at",
          "updated_at",
        ],
      },
      service: "select insert update",
      references: { ai_job_types_provider_fkey: "shared" },
    },

    ai_providers: {
      rows: { provider: {} },
      columns: {
        "": [
          "provider",
          "max_concurrent",
          "budget_micros",
          "max_voices",
          "paused_at",
          "breaker_threshold",
          "breaker_pause_seconds",
          "breaker_max_pause_seconds",
          "breaker_failures",
          "breaker_poll_failures",
          "breaker_last_error_code",
          "breaker_opened_at",
          "breaker_probe_at",
          "breaker_probes",
          "breaker_probe_job_id",
          "created_at",
          "updated_at",
        ],
      },
      service: "select insert update",
    },

    ai_prices: {
      rows: { price: {} },
      columns: {
        "": [
          "job_type",
          "provider",
          "unit",
          "per_units",
          "price_micros",
          "currency",
          "created_at",
          "updated_at",
        ],
      },
      service: "select insert update",
      references: {
        ai_prices_job_type_fkey: "shared",
        ai_prices_provider_fkey: "shared",
      },
    },

    ai_provider_spend: {
      rows: { spend: {} },
      columns: { "": ["provider", "slot", "month", "spent_micros"] },
      service: "select",
      references: { ai_provider_spend_provider_fkey: "shared" },
    },

    ai_limits: {
      rows: {
        limits: { owner: "select" },
        "for everyone else": { "signed in": "select" },
      },
      columns: {
        select: [
          "id",
          "user_id",
          "max_active_jobs",
          "max_jobs_per_day",
          "max_concurrent_jobs",
          "max_voices",
          "max_unused_uploads",
          "max_unused_upload_bytes",
          "requires_established_account",
          "paused_at",
          "active_jobs_at_most",
          "counted_on",
          "jobs_that_day",
          "budget_micros",
          "budget_month",
          "spent_micros",
          "reserved_micros",
          "created_at",
          "updated_at",
        ],
      },
      service: "select insert update",
      references: { ai_limits_user_id_fkey: "owner" },
    },

    ai_jobs: {
      rows: {
        waiting: { owner: "select update" },
        running: { owner: "select update" },
        finished: { owner: "select update" },
      },
      columns: {
        // The only column of an existing job that its owner may write; the trigger decides what it means.
        "select update": ["cancel_requested_at", "retry_requested_at"],
        "select insert": [
          "user_id",
          "job_type",
          "input_url",
          "metadata",
          "idempotency_key",
          "scheduled_at",
          "cached_from_job_id",
          "depends_on_job_id",
          "traceparent",
        ],
        select: [
          "id",
          "status",
          "progress_percentage",
          "output_url",
          "result_data",
          "error_message",
          "error_code",
          "provider",
          "provider_job_id",
          "stage",
          "attempt",
          "max_attempts",
          "priority",
          "lease_token",
          "lease_expires_at",
          "input_hash",
          "queue_key",
          "is_blocked",
          "spend",
          "billable_calls",
          "cost_micros",
          "cost_currency",
          "event_seq",
          "last_event",
          "created_at",
          "started_at",
          "completed_at",
          "updated_at",
        ],
      },
      service: "select insert update delete",
      references: {
        ai_jobs_user_id_fkey: "owner",
        ai_jobs_job_type_fkey: "shared",
        // Refused with the same error as a missing job.
        ai_jobs_dependency_fkey: {
          users: "refused AJ016",
          service: "refused AJ016",
        },
        // Another user's job is ignored silently, so that its existence is not revealed.
        ai_jobs_cached_from_job_id_fkey: {
          users: "written, without the reference",
          service: "written, without the reference",
        },
      },
      alsoWrites: {
        insert: "added ai_job_events, changed ai_limits",
        "update cancel_requested_at": "added ai_job_events",
      },
      // Only failed jobs can be retried, and the first row is waiting.
      refused: {
        "update retry_requested_at": "refused AJ070; nothing changed",
      },
    },

    ai_job_events: {
      rows: { event: { owner: "select" } },
      columns: {
        select: [
          "job_id",
          "seq",
          "user_id",
          "event",
          "attempt",
          "data",
          "created_at",
        ],
      },
      service: "select",
      references: {
        ai_job_events_job_id_fkey: FROM_THE_JOB,
      },
    },

    // Internal records of the service: their owner does not see them.
    ai_job_checkpoints: {
      rows: { checkpoint: {} },
      columns: { "": ["job_id", "data", "upload_id"] },
      service: "select",
      references: {
        ai_job_checkpoints_job_id_fkey: FROM_THE_JOB,
      },
    },

    ai_provider_calls: {
      rows: { call: { owner: "select" } },
      columns: {
        select: [
          "id",
          "job_id",
          "user_id",
          "provider",
          "operation",
          "attempt",
          "outcome",
          "provider_object_id",
          "http_status",
          "error_code",
          "units",
          "price_micros",
          "price_units",
          "estimated_cost_micros",
          "cost_micros",
          "sent_at",
          "unknown_since",
          "repeated_at",
          "settled_at",
          "discarded_at",
          "answered_at",
          "trace_id",
        ],
      },
      service: "select insert update",
      references: {
        ai_provider_calls_job_id_fkey: FROM_THE_JOB,
      },
    },

    ai_result_cache: {
      rows: { entry: { owner: "select" } },
      columns: {
        select: ["cache_key", "user_id", "value", "expires_at", "created_at"],
      },
      service: "select insert update delete",
      references: { ai_result_cache_user_id_fkey: "owner" },
    },

    media: {
      rows: {
        photo: { owner: "select update delete" },
        recording: { owner: "select update delete" },
      },
      columns: {
        "select insert update": ["title", "duration_seconds"],
        "select insert": [
          "user_id",
          "media_type",
          "storage_path",
          "file_name",
          "content_type",
          "size_bytes",
        ],
        select: [
          "id",
          "created_at",
          "updated_at",
        ],
      },
      service: "select insert update delete",
      references: { media_user_id_fkey: "owner" },
      ownFolder: { storage_path: "media_storage_path_is_owners" },
    },

    pending_uploads: {
      rows: { address: { owner: "select delete" } },
      columns: {
        "select insert": ["object_path", "user_id", "size_bytes"],
        select: ["stored_at", "expires_at", "created_at"],
      },
      service: "select",
      references: { pending_uploads_user_id_fkey: "owner" },
      ownFolder: { object_path: "pending_uploads_object_path_is_owners" },
    },

    voices: {
      rows: { voice: { owner: "select delete" } },
      columns: {
        select: [
          "id",
          "user_id",
          "job_id",
          "provider",
          "provider_voice_id",
          "name",
          "description",
          "labels",
          "stability",
          "similarity_boost",
          "sample_url",
          "provider_missing_since",
          "created_at",
          "updated_at",
        ],
      },
      service: "select insert update delete",
      references: {
        voices_user_id_fkey: "owner",
        voices_job_fkey: SAME_OWNER,
      },
    },

    profiles: {
      rows: { profile: { owner: "select update delete" } },
      columns: {
        "select insert update": [
          "display_name",
          "photo_path",
          "locale",
          "time_zone",
        ],
        "select insert": ["user_id"],
        select: ["created_at", "updated_at"],
      },
      service: "select insert update delete",
      references: { profiles_user_id_fkey: "owner" },
      ownFolder: { photo_path: "profiles_photo_path_is_owners" },
    },

    calls: {
      rows: { call: { owner: "select update delete" } },
      columns: {
        "select insert update": [
          "title",
          "recording_id",
          "held_at",
          "duration_seconds",
        ],
        "select insert": ["user_id"],
        select: [
          "id",
          "transcript",
          "transcript_data",
          "transcript_job_id",
          "created_at",
          "updated_at",
        ],
      },
      service: "select insert update delete",
      references: {
        calls_user_id_fkey: "owner",
        calls_recording_fkey: SAME_OWNER,
        calls_transcript_job_fkey: SAME_OWNER,
      },
    },

    avatars: {
      rows: { avatar: { owner: "select update delete" } },
      columns: {
        "select update": ["name"],
        select: [
          "id",
          "user_id",
          "job_id",
          "voice_id",
          "photo_id",
          "provider",
          "provider_video_id",
          "video_url",
          "duration_seconds",
          "created_at",
          "updated_at",
          "provider_missing_since",
        ],
      },
      service: "select insert update delete",
      references: {
        avatars_user_id_fkey: "owner",
        avatars_job_fkey: SAME_OWNER,
        avatars_voice_fkey: SAME_OWNER,
        avatars_photo_fkey: SAME_OWNER,
      },
      ownFolder: { video_url: "avatars_video_url_is_owners" },
    },

    slideshows: {
      // Anyone who knows its token can read a published one, but only through get_shared_slideshow.
      rows: {
        private: { owner: "select update delete" },
        published: { owner: "select update delete" },
      },
      columns: {
        "select insert update": ["title", "description", "is_published"],
        "select insert": ["user_id"],
        select: [
          "id",
          "share_token",
          "created_at",
          "updated_at",
        ],
      },
      anon: ["id", "title", "description", "is_published", "share_token"],
      service: "select insert update delete",
      references: { slideshows_user_id_fkey: "owner" },
    },

    slideshow_items: {
      rows: {
        "in a private one": { owner: "select update delete" },
        "in a published one": { owner: "select update delete" },
        "not shown in a published one": { owner: "select update delete" },
      },
      columns: {
        "select insert update": [
          "media_id",
          "position",
          "caption",
          "is_full_page",
          "public_path",
        ],
        "select insert": ["user_id", "slideshow_id"],
        select: [
          "id",
          "created_at",
          "updated_at",
        ],
      },
      anon: ["slideshow_id", "position", "caption", "public_path"],
      service: "select insert update delete",
      references: {
        slideshow_items_user_id_fkey: "owner",
        slideshow_items_slideshow_fkey: SAME_OWNER,
        slideshow_items_media_fkey: SAME_OWNER,
      },
      ownFolder: { public_path: "slideshow_items_public_path_is_owners" },
    },

    pdfs: {
      rows: { keepsake: { owner: "select update delete" } },
      columns: {
        "select update": ["title"],
        select: [
          "id",
          "user_id",
          "slideshow_id",
          "job_id",
          "pdf_url",
          "page_count",
          "size_bytes",
          "created_at",
          "updated_at",
        ],
      },
      service: "select insert update delete",
      references: {
        pdfs_user_id_fkey: "owner",
        pdfs_slideshow_fkey: SAME_OWNER,
        pdfs_job_fkey: SAME_OWNER,
      },
      ownFolder: { pdf_url: "pdfs_pdf_url_is_owners" },
    },

    vendors: {
      rows: {
        active: { "signed in": "select" },
        "inactive, of the vendor": { vendor: "select" },
        "inactive, of another": {},
      },
      columns: {
        select: [
          "id",
          "name",
          "country",
          "is_active",
          "created_at",
          "updated_at",
        ],
      },
      service: "select insert update delete",
    },

    vendor_members: {
      rows: { membership: { owner: "select" } },
      columns: { select: ["vendor_id", "user_id", "created_at"] },
      service: "select insert update delete",
      references: {
        vendor_members_vendor_id_fkey: "shared",
        vendor_members_user_id_fkey: "owner",
      },
    },

    vendor_products: {
      rows: {
        active: { "signed in": "select" },
        "inactive, of the vendor": { vendor: "select" },
        "inactive, of another": {},
        "active, of an inactive vendor": {},
      },
      columns: {
        select: [
          "id",
          "vendor_id",
          "sku",
          "name",
          "unit_price_minor",
          "currency",
          "is_active",
          "created_at",
          "updated_at",
        ],
      },
      service: "select insert update delete",
      references: { vendor_products_vendor_id_fkey: "shared" },
    },

    orders: {
      rows: {
        draft: { owner: "select update delete" },
        // The vendor fulfils an order once it is paid, and does not see it before.
        "placed with the vendor": { owner: "select update" },
        "paid, with the vendor": { owner: "select update", vendor: "select" },
        "paid, with another": { owner: "select update" },
      },
      columns: {
        "select insert update": ["shipping_address"],
        "select update": ["status"],
        "select insert": ["user_id", "vendor_id", "currency"],
        select: [
          "id",
          "items_total_minor",
          "shipping_minor",
          "tax_minor",
          "total_minor",
          "placed_at",
          "paid_at",
          "completed_at",
          "created_at",
          "updated_at",
        ],
      },
      service: "select insert update delete",
      references: {
        orders_user_id_fkey: "owner",
        orders_vendor_id_fkey: "shared",
      },
    },

    order_items: {
      rows: {
        "in a draft": { owner: "select update delete" },
        "in one placed with the vendor": { owner: "select" },
        "in one paid, with the vendor": { owner: "select", vendor: "select" },
        "in one paid, with another": { owner: "select" },
      },
      columns: {
        "select insert update": ["pdf_id", "quantity"],
        "select insert": ["order_id", "product_id"],
        select: [
          "id",
          "vendor_id",
          "currency",
          "description",
          "unit_price_minor",
          "line_total_minor",
          "is_pdf_deleted",
          "created_at",
          "updated_at",
        ],
      },
      service: "select insert update delete",
      references: {
        order_items_order_fkey: {
          users: "against the policy",
          // It contains A's keepsake; an item of B's order must have one of B's or none.
          service: "refused AJ061",
        },
        order_items_product_fkey: "shared",
        order_items_pdf_id_fkey: {
          users: "refused AJ061",
          service: "refused AJ061",
        },
      },
      alsoWrites: {
        insert: "changed orders",
        "update quantity": "changed orders",
        delete: "changed orders",
      },
    },

    payments: {
      rows: { payment: { owner: "select" } },
      columns: {
        select: [
          "id",
          "order_id",
          "user_id",
          "provider",
          "provider_payment_id",
          "status",
          "amount_minor",
          "refunded_minor",
          "currency",
          "captured_at",
          "created_at",
          "updated_at",
        ],
      },
      // Accounting records: no caller deletes payments or deliveries.
      service: "select insert update",
      references: {
        // A payment always belongs to the order's customer, even if another user is written.
        payments_order_fkey: { service: "written" },
        payments_user_id_fkey: "owner",
      },
    },

    deliveries: {
      rows: {
        "of the vendor": { owner: "select", vendor: "select" },
        "of another": { owner: "select" },
      },
      columns: {
        select: [
          "id",
          "order_id",
          "vendor_id",
          "user_id",
          "carrier",
          "tracking_number",
          "status",
          "shipped_at",
          "delivered_at",
          "created_at",
          "updated_at",
        ],
      },
      service: "select insert update",
      references: {
        // Like a payment, a delivery belongs to the order's customer and vendor.
        deliveries_order_fkey: { service: "written" },
        deliveries_user_id_fkey: "owner",
      },
    },
  },

  functions: {
    ai_job_input_hash: { roles: ["authenticated", "service_role"] },
    begin_provider_calls: { roles: ["service_role"] },
    create_ai_job: { roles: ["authenticated"] },
    claim_ai_jobs: { roles: ["service_role"] },
    claim_dispatched_ai_jobs: { roles: ["service_role"] },
    poll_ai_jobs: { roles: ["service_role"] },
    complete_ai_jobs: { roles: ["service_role"] },
    fail_ai_job: { roles: ["service_role"] },
    get_ai_result_cache: { roles: ["authenticated", "service_role"] },
    get_shared_slideshow: { roles: ["anon", "authenticated"] },
    cancel_ai_job: { roles: ["service_role"] },
    jobs_ahead: { roles: ["authenticated"] },
    get_ai_budget: { roles: ["authenticated"] },
    get_ai_costs: { roles: ["authenticated", "service_role"] },
    heartbeat_ai_jobs: { roles: ["service_role"] },
    pause_ai_jobs: { roles: ["service_role"] },
    receive_provider_webhook: { roles: ["service_role"] },
    delete_ended_ai_jobs: { roles: ["service_role"] },
    redrive_ai_jobs: { roles: ["service_role"] },
    resolve_unknown_ai_job: { roles: ["service_role"] },
    take_back_ai_job_answer: { roles: ["service_role"] },
    doubt_provider_call: { roles: ["service_role"] },
    wake_ai_job_worker: { roles: ["service_role"] },
    save_ai_job_checkpoint: { roles: ["service_role"] },
    get_keepsake_contents: { roles: ["service_role"] },
    claim_abandoned_uploads: { roles: ["service_role"] },
    settle_abandoned_uploads: { roles: ["service_role"] },
    release_ai_job: { roles: ["service_role"] },
    reorder_slideshow: { roles: ["authenticated", "service_role"] },
    rescue_stalled_ai_jobs: { roles: ["service_role"] },
    reuse_ai_job_result: { roles: ["service_role"] },
    revise_provider_call: { roles: ["service_role"] },
    set_ai_budget: { roles: ["service_role"] },
    settle_provider_calls: { roles: ["service_role"] },
    snooze_ai_job: { roles: ["service_role"] },
    begin_janitor_run: { roles: ["service_role"] },
    begin_provider_scan: { roles: ["service_role"] },
    claim_lost_job_files: { roles: ["service_role"] },
    claim_provider_removals: { roles: ["service_role"] },
    claim_storage_removals: { roles: ["service_role"] },
    end_provider_scan: { roles: ["service_role"] },
    discard_found_object: { roles: ["service_role"] },
    record_provider_rows: { roles: ["service_role"] },
    record_provider_page: { roles: ["service_role"] },
    report_payments_to_return: { roles: ["service_role"] },
    report_ai_leftovers: { roles: ["service_role"] },
    scan_stored_files: { roles: ["service_role"] },
    settle_provider_removal: { roles: ["service_role"] },
    settle_storage_removals: { roles: ["service_role"] },
    unseen_provider_rows: { roles: ["service_role"] },
    read_ai_health: { roles: ["service_role"] },
    read_ai_metrics: { roles: ["service_role"] },
    ops_overview: OF_OPERATORS,
    ops_charts: OF_OPERATORS,
    ops_failures: OF_OPERATORS,
    ops_providers: OF_OPERATORS,
    ops_parked: OF_OPERATORS,
    ops_budgets: OF_OPERATORS,
    ops_search_jobs: OF_OPERATORS,
    ops_job: OF_OPERATORS,
    ops_job_payload: OF_OPERATORS,
    ops_actions: OF_OPERATORS,
    ops_preview_redrive: OF_OPERATORS,
    ops_redrive: OF_OPERATORS,
    ops_pause: OF_OPERATORS,
    ops_probe_provider: OF_OPERATORS,
    ops_parked_call: OF_OPERATORS,
    ops_resolve: OF_OPERATORS,
    ops_take_back: OF_OPERATORS,
    ops_cancel: OF_OPERATORS,
    ops_retry: OF_OPERATORS,
    ops_set_budget: OF_OPERATORS,
  },

  buckets: {
    outputs: { isPublic: false, owner: ["read", "remove"] },
    pdfs: { isPublic: false, owner: ["read"] },
    "profile-photos": {
      isPublic: true,
      owner: ["read", "create", "replace", "remove", "move"],
    },
    "published-media": { isPublic: true, owner: ["read", "create", "remove"] },
    recordings: { isPublic: false, owner: ["read", "create", "remove"] },
    uploads: { isPublic: false, owner: ["read", "create", "remove"] },
    "voice-samples": { isPublic: false, owner: ["read", "create", "remove"] },
  },

  endpoints: {
    "create-ai-job": {
      callers: ["A", "B", "vendor"],
      own: { "a job with their own recording": 202 },
      foreign: {
        "a job with the other's recording": 403,
        "a job with a recording in the other's folder that does not exist": 403,
      },
    },
    "create-download-url": {
      callers: ["A", "B", "vendor"],
      own: { "the address of their own upload": 200 },
      foreign: {
        "the address of the other's upload": 403,
        "the address of a missing object in the other's folder": 403,
      },
    },
    "create-upload-url": {
      callers: ["A", "B", "vendor"],
      own: { "an address to upload to": 201 },
      foreign: { "an address in the other's folder": 400 },
    },
    "list-ai-jobs": {
      callers: ["A", "B", "vendor"],
      own: { "their own jobs": 200 },
      foreign: {},
    },
    "cancel-ai-job": {
      callers: ["A", "B", "vendor"],
      own: { "their own job that has ended": 409 },
      foreign: {
        "the other's running job": 404,
        "a job that does not exist": 404,
      },
    },
    "retry-ai-job": {
      callers: ["A", "B", "vendor"],
      own: { "their own job that has not failed": 409 },
      foreign: {
        "the other's running job": 404,
        "a job that does not exist": 404,
      },
    },
    "get-ai-job": {
      callers: ["A", "B", "vendor"],
      own: { "their own job": 200 },
      foreign: { "the other's job": 404, "a job that does not exist": 404 },
    },
    // Admits no key, only the database's signature.
    "process-ai-job": {
      callers: [],
      own: {},
      foreign: { "the other's job, unsigned": 401 },
    },
    // The same.
    "render-ai-job": {
      callers: [],
      own: {},
      foreign: { "the other's job, unsigned": 401 },
    },
    // The same.
    janitor: {
      callers: [],
      own: {},
      foreign: { "a run, unsigned": 401 },
    },
    // Admits no key either, only the provider's signature or token.
    "provider-webhook": {
      callers: [],
      own: {},
      foreign: {
        "the other's job, with a token that was guessed": 401,
        "the other's job, as HeyGen, unsigned": 401,
      },
    },
    // None of the callers is an operator.
    ops: {
      callers: ["A", "B", "vendor"],
      own: {},
      foreign: {
        "the other's job": 403,
        "the input of the other's job": 403,
        "the other's job to be cancelled": 403,
        "the record of the operators": 403,
      },
    },
    // Its answer depends on the state of the project: tests/functions/ops.test.ts checks what each caller gets.
    health: {
      callers: ["no key", "anon", "A", "B", "vendor", "service"],
      own: {},
      foreign: { "a change of health": 405 },
    },
    // It is disabled here; tests/functions/ops.test.ts tests its token.
    metrics: {
      callers: ["no key", "anon", "A", "B", "vendor", "service"],
      own: {},
      foreign: { "the counts": 404 },
    },
  },
};
