// Written by `deno task db:types` from supabase/migrations. Not to be edited.
export type Json = string | number | boolean | null | {
  [key: string]: Json | undefined;
} | Json[];

export type Database = {
  "public": {
    Tables: {
      "ai_job_checkpoints": {
        Row: {
          "data": NonNullable<Json>;
          "job_id": string;
          "upload_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "data": NonNullable<Json>;
          "job_id": string;
          "upload_id"?: string | null;
        };
        Update: {
          "data"?: NonNullable<Json>;
          "job_id"?: string;
          "upload_id"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "ai_job_checkpoints_job_id_fkey";
            columns: ["job_id"];
            isOneToOne: true;
            referencedRelation: "ai_jobs";
            referencedColumns: ["id"];
          },
        ];
      };
      "ai_job_events": {
        Row: {
          "attempt": number;
          "created_at": string;
          "data": NonNullable<Json>;
          "event": string;
          "job_id": string;
          "seq": number;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "attempt": number;
          "created_at"?: string;
          "data"?: NonNullable<Json>;
          "event": string;
          "job_id": string;
          "seq": number;
          "user_id": string;
        };
        Update: {
          "attempt"?: number;
          "created_at"?: string;
          "data"?: NonNullable<Json>;
          "event"?: string;
          "job_id"?: string;
          "seq"?: number;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "ai_job_events_job_id_fkey";
            columns: ["job_id"];
            isOneToOne: false;
            referencedRelation: "ai_jobs";
            referencedColumns: ["id"];
          },
        ];
      };
      "ai_job_types": {
        Row: {
          "backoff_base_seconds": number;
          "backoff_max_seconds": number;
          "cache_ttl_seconds": number;
          "created_at": string;
          "hooks": (string)[];
          "input_buckets": (string)[];
          "input_max_bytes": number;
          "input_mime_types": (string)[];
          "input_name": string;
          "is_enabled": boolean;
          "is_input_required": boolean;
          "job_type": string;
          "lease_seconds": number;
          "max_age_seconds": number;
          "max_attempts": number;
          "other_providers": (string)[];
          "paused_at": string | null;
          "provider": string;
          "reconcile_seconds": number;
          "stock_voice_ids": (string)[];
          "updated_at": string;
          "worker": string;
        };
        ComputedFields: never;
        Insert: {
          "backoff_base_seconds"?: number;
          "backoff_max_seconds"?: number;
          "cache_ttl_seconds"?: number;
          "created_at"?: string;
          "hooks"?: (string)[];
          "input_buckets"?: (string)[];
          "input_max_bytes"?: number;
          "input_mime_types"?: (string)[];
          "input_name"?: string;
          "is_enabled"?: boolean;
          "is_input_required"?: boolean;
          "job_type": string;
          "lease_seconds"?: number;
          "max_age_seconds"?: number;
          "max_attempts"?: number;
          "other_providers"?: (string)[];
          "paused_at"?: string | null;
          "provider": string;
          "reconcile_seconds"?: number;
          "stock_voice_ids"?: (string)[];
          "updated_at"?: string;
          "worker"?: string;
        };
        Update: {
          "backoff_base_seconds"?: number;
          "backoff_max_seconds"?: number;
          "cache_ttl_seconds"?: number;
          "created_at"?: string;
          "hooks"?: (string)[];
          "input_buckets"?: (string)[];
          "input_max_bytes"?: number;
          "input_mime_types"?: (string)[];
          "input_name"?: string;
          "is_enabled"?: boolean;
          "is_input_required"?: boolean;
          "job_type"?: string;
          "lease_seconds"?: number;
          "max_age_seconds"?: number;
          "max_attempts"?: number;
          "other_providers"?: (string)[];
          "paused_at"?: string | null;
          "provider"?: string;
          "reconcile_seconds"?: number;
          "stock_voice_ids"?: (string)[];
          "updated_at"?: string;
          "worker"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "ai_job_types_provider_fkey";
            columns: ["provider"];
            isOneToOne: false;
            referencedRelation: "ai_providers";
            referencedColumns: ["provider"];
          },
        ];
      };
      "ai_jobs": {
        Row: {
          "attempt": number;
          "billable_calls": number;
          "cached_from_job_id": string | null;
          "cancel_requested_at": string | null;
          "completed_at": string | null;
          "cost_currency": string;
          "cost_micros": number;
          "created_at": string;
          "depends_on_job_id": string | null;
          "error_code": string | null;
          "error_message": string | null;
          "event_seq": number;
          "id": string;
          "idempotency_key": string | null;
          "input_hash": string | null;
          "input_url": string | null;
          "is_blocked": boolean;
          "job_type": string;
          "last_event": string;
          "lease_expires_at": string | null;
          "lease_token": string | null;
          "max_attempts": number;
          "metadata": NonNullable<Json>;
          "output_url": string | null;
          "priority": number;
          "progress_percentage": number;
          "provider": string;
          "provider_job_id": string | null;
          "queue_key": number | null;
          "result_data": Json | null;
          "retry_requested_at": string | null;
          "scheduled_at": string;
          "spend": string;
          "stage": string | null;
          "started_at": string | null;
          "status": string;
          "traceparent": string;
          "updated_at": string;
          "user_id": string;
          "jobs_ahead": number | null;
        };
        ComputedFields: "jobs_ahead";
        Insert: {
          "attempt"?: number;
          "billable_calls"?: number;
          "cached_from_job_id"?: string | null;
          "cancel_requested_at"?: string | null;
          "completed_at"?: string | null;
          "cost_currency"?: string;
          "cost_micros"?: number;
          "created_at"?: string;
          "depends_on_job_id"?: string | null;
          "error_code"?: string | null;
          "error_message"?: string | null;
          "event_seq"?: number;
          "id"?: string;
          "idempotency_key"?: string | null;
          "input_hash"?: string | null;
          "input_url"?: string | null;
          "is_blocked"?: boolean;
          "job_type": string;
          "last_event"?: string;
          "lease_expires_at"?: string | null;
          "lease_token"?: string | null;
          "max_attempts"?: number;
          "metadata"?: NonNullable<Json>;
          "output_url"?: string | null;
          "priority"?: number;
          "progress_percentage"?: number;
          "provider"?: string;
          "provider_job_id"?: string | null;
          "queue_key"?: number | null;
          "result_data"?: Json | null;
          "retry_requested_at"?: string | null;
          "scheduled_at"?: string;
          "spend"?: string;
          "stage"?: string | null;
          "started_at"?: string | null;
          "status"?: string;
          "traceparent"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Update: {
          "attempt"?: number;
          "billable_calls"?: number;
          "cached_from_job_id"?: string | null;
          "cancel_requested_at"?: string | null;
          "completed_at"?: string | null;
          "cost_currency"?: string;
          "cost_micros"?: number;
          "created_at"?: string;
          "depends_on_job_id"?: string | null;
          "error_code"?: string | null;
          "error_message"?: string | null;
          "event_seq"?: number;
          "id"?: string;
          "idempotency_key"?: string | null;
          "input_hash"?: string | null;
          "input_url"?: string | null;
          "is_blocked"?: boolean;
          "job_type"?: string;
          "last_event"?: string;
          "lease_expires_at"?: string | null;
          "lease_token"?: string | null;
          "max_attempts"?: number;
          "metadata"?: NonNullable<Json>;
          "output_url"?: string | null;
          "priority"?: number;
          "progress_percentage"?: number;
          "provider"?: string;
          "provider_job_id"?: string | null;
          "queue_key"?: number | null;
          "result_data"?: Json | null;
          "retry_requested_at"?: string | null;
          "scheduled_at"?: string;
          "spend"?: string;
          "stage"?: string | null;
          "started_at"?: string | null;
          "status"?: string;
          "traceparent"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "ai_jobs_cached_from_job_id_fkey";
            columns: ["cached_from_job_id"];
            isOneToOne: false;
            referencedRelation: "ai_jobs";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "ai_jobs_dependency_fkey";
            columns: ["depends_on_job_id", "user_id"];
            isOneToOne: false;
            referencedRelation: "ai_jobs";
            referencedColumns: ["id", "user_id"];
          },
          {
            foreignKeyName: "ai_jobs_job_type_fkey";
            columns: ["job_type"];
            isOneToOne: false;
            referencedRelation: "ai_job_types";
            referencedColumns: ["job_type"];
          },
        ];
      };
      "ai_limits": {
        Row: {
          "active_jobs_at_most": number;
          "budget_micros": number | null;
          "budget_month": string;
          "counted_on": string;
          "created_at": string;
          "id": string;
          "jobs_that_day": number;
          "max_active_jobs": number | null;
          "max_concurrent_jobs": number | null;
          "max_jobs_per_day": number | null;
          "max_unused_upload_bytes": number | null;
          "max_unused_uploads": number | null;
          "max_voices": number | null;
          "paused_at": string | null;
          "requires_established_account": boolean | null;
          "reserved_micros": number;
          "spent_micros": number;
          "updated_at": string;
          "user_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "active_jobs_at_most"?: number;
          "budget_micros"?: number | null;
          "budget_month"?: string;
          "counted_on"?: string;
          "created_at"?: string;
          "id"?: string;
          "jobs_that_day"?: number;
          "max_active_jobs"?: number | null;
          "max_concurrent_jobs"?: number | null;
          "max_jobs_per_day"?: number | null;
          "max_unused_upload_bytes"?: number | null;
          "max_unused_uploads"?: number | null;
          "max_voices"?: number | null;
          "paused_at"?: string | null;
          "requires_established_account"?: boolean | null;
          "reserved_micros"?: number;
          "spent_micros"?: number;
          "updated_at"?: string;
          "user_id"?: string | null;
        };
        Update: {
          "active_jobs_at_most"?: number;
          "budget_micros"?: number | null;
          "budget_month"?: string;
          "counted_on"?: string;
          "created_at"?: string;
          "id"?: string;
          "jobs_that_day"?: number;
          "max_active_jobs"?: number | null;
          "max_concurrent_jobs"?: number | null;
          "max_jobs_per_day"?: number | null;
          "max_unused_upload_bytes"?: number | null;
          "max_unused_uploads"?: number | null;
          "max_voices"?: number | null;
          "paused_at"?: string | null;
          "requires_established_account"?: boolean | null;
          "reserved_micros"?: number;
          "spent_micros"?: number;
          "updated_at"?: string;
          "user_id"?: string | null;
        };
        Relationships: [];
      };
      "ai_prices": {
        Row: {
          "created_at": string;
          "currency": string;
          "job_type": string;
          "per_units": number;
          "price_micros": number;
          "provider": string;
          "unit": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "currency"?: string;
          "job_type": string;
          "per_units": number;
          "price_micros": number;
          "provider": string;
          "unit": string;
          "updated_at"?: string;
        };
        Update: {
          "created_at"?: string;
          "currency"?: string;
          "job_type"?: string;
          "per_units"?: number;
          "price_micros"?: number;
          "provider"?: string;
          "unit"?: string;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "ai_prices_job_type_fkey";
            columns: ["job_type"];
            isOneToOne: false;
            referencedRelation: "ai_job_types";
            referencedColumns: ["job_type"];
          },
          {
            foreignKeyName: "ai_prices_provider_fkey";
            columns: ["provider"];
            isOneToOne: false;
            referencedRelation: "ai_providers";
            referencedColumns: ["provider"];
          },
        ];
      };
      "ai_provider_calls": {
        Row: {
          "answered_at": string | null;
          "attempt": number;
          "cost_micros": number | null;
          "discarded_at": string | null;
          "error_code": string | null;
          "estimated_cost_micros": number;
          "http_status": number | null;
          "id": string;
          "job_id": string;
          "operation": string;
          "outcome": string;
          "price_micros": number;
          "price_units": number;
          "provider": string;
          "provider_object_id": string | null;
          "repeated_at": string | null;
          "sent_at": string;
          "settled_at": string | null;
          "trace_id": string | null;
          "units": number;
          "unknown_since": string | null;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "answered_at"?: string | null;
          "attempt": number;
          "cost_micros"?: number | null;
          "discarded_at"?: string | null;
          "error_code"?: string | null;
          "estimated_cost_micros"?: number;
          "http_status"?: number | null;
          "id"?: string;
          "job_id": string;
          "operation": string;
          "outcome"?: string;
          "price_micros"?: number;
          "price_units"?: number;
          "provider": string;
          "provider_object_id"?: string | null;
          "repeated_at"?: string | null;
          "sent_at"?: string;
          "settled_at"?: string | null;
          "trace_id"?: string | null;
          "units"?: number;
          "unknown_since"?: string | null;
          "user_id": string;
        };
        Update: {
          "answered_at"?: string | null;
          "attempt"?: number;
          "cost_micros"?: number | null;
          "discarded_at"?: string | null;
          "error_code"?: string | null;
          "estimated_cost_micros"?: number;
          "http_status"?: number | null;
          "id"?: string;
          "job_id"?: string;
          "operation"?: string;
          "outcome"?: string;
          "price_micros"?: number;
          "price_units"?: number;
          "provider"?: string;
          "provider_object_id"?: string | null;
          "repeated_at"?: string | null;
          "sent_at"?: string;
          "settled_at"?: string | null;
          "trace_id"?: string | null;
          "units"?: number;
          "unknown_since"?: string | null;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "ai_provider_calls_job_id_fkey";
            columns: ["job_id"];
            isOneToOne: false;
            referencedRelation: "ai_jobs";
            referencedColumns: ["id"];
          },
        ];
      };
      "ai_provider_spend": {
        Row: {
          "month": string;
          "provider": string;
          "slot": number;
          "spent_micros": number;
        };
        ComputedFields: never;
        Insert: {
          "month": string;
          "provider": string;
          "slot": number;
          "spent_micros"?: number;
        };
        Update: {
          "month"?: string;
          "provider"?: string;
          "slot"?: number;
          "spent_micros"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "ai_provider_spend_provider_fkey";
            columns: ["provider"];
            isOneToOne: false;
            referencedRelation: "ai_providers";
            referencedColumns: ["provider"];
          },
        ];
      };
      "ai_providers": {
        Row: {
          "breaker_failures": number;
          "breaker_last_error_code": string | null;
          "breaker_max_pause_seconds": number;
          "breaker_opened_at": string | null;
          "breaker_pause_seconds": number;
          "breaker_poll_failures": number;
          "breaker_probe_at": string | null;
          "breaker_probe_job_id": string | null;
          "breaker_probes": number;
          "breaker_threshold": number | null;
          "budget_micros": number | null;
          "created_at": string;
          "max_concurrent": number;
          "max_voices": number | null;
          "paused_at": string | null;
          "provider": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "breaker_failures"?: number;
          "breaker_last_error_code"?: string | null;
          "breaker_max_pause_seconds"?: number;
          "breaker_opened_at"?: string | null;
          "breaker_pause_seconds"?: number;
          "breaker_poll_failures"?: number;
          "breaker_probe_at"?: string | null;
          "breaker_probe_job_id"?: string | null;
          "breaker_probes"?: number;
          "breaker_threshold"?: number | null;
          "budget_micros"?: number | null;
          "created_at"?: string;
          "max_concurrent": number;
          "max_voices"?: number | null;
          "paused_at"?: string | null;
          "provider": string;
          "updated_at"?: string;
        };
        Update: {
          "breaker_failures"?: number;
          "breaker_last_error_code"?: string | null;
          "breaker_max_pause_seconds"?: number;
          "breaker_opened_at"?: string | null;
          "breaker_pause_seconds"?: number;
          "breaker_poll_failures"?: number;
          "breaker_probe_at"?: string | null;
          "breaker_probe_job_id"?: string | null;
          "breaker_probes"?: number;
          "breaker_threshold"?: number | null;
          "budget_micros"?: number | null;
          "created_at"?: string;
          "max_concurrent"?: number;
          "max_voices"?: number | null;
          "paused_at"?: string | null;
          "provider"?: string;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "ai_result_cache": {
        Row: {
          "cache_key": string;
          "created_at": string;
          "expires_at": string;
          "user_id": string;
          "value": NonNullable<Json>;
        };
        ComputedFields: never;
        Insert: {
          "cache_key": string;
          "created_at"?: string;
          "expires_at": string;
          "user_id": string;
          "value": NonNullable<Json>;
        };
        Update: {
          "cache_key"?: string;
          "created_at"?: string;
          "expires_at"?: string;
          "user_id"?: string;
          "value"?: NonNullable<Json>;
        };
        Relationships: [];
      };
      "avatars": {
        Row: {
          "created_at": string;
          "duration_seconds": number | null;
          "id": string;
          "job_id": string | null;
          "name": string;
          "photo_id": string | null;
          "provider": string;
          "provider_missing_since": string | null;
          "provider_video_id": string;
          "updated_at": string;
          "user_id": string;
          "video_url": string;
          "voice_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "duration_seconds"?: number | null;
          "id"?: string;
          "job_id"?: string | null;
          "name": string;
          "photo_id"?: string | null;
          "provider": string;
          "provider_missing_since"?: string | null;
          "provider_video_id": string;
          "updated_at"?: string;
          "user_id": string;
          "video_url": string;
          "voice_id"?: string | null;
        };
        Update: {
          "created_at"?: string;
          "duration_seconds"?: number | null;
          "id"?: string;
          "job_id"?: string | null;
          "name"?: string;
          "photo_id"?: string | null;
          "provider"?: string;
          "provider_missing_since"?: string | null;
          "provider_video_id"?: string;
          "updated_at"?: string;
          "user_id"?: string;
          "video_url"?: string;
          "voice_id"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "avatars_job_fkey";
            columns: ["job_id", "user_id"];
            isOneToOne: false;
            referencedRelation: "ai_jobs";
            referencedColumns: ["id", "user_id"];
          },
          {
            foreignKeyName: "avatars_photo_fkey";
            columns: ["photo_id", "user_id"];
            isOneToOne: false;
            referencedRelation: "media";
            referencedColumns: ["id", "user_id"];
          },
          {
            foreignKeyName: "avatars_voice_fkey";
            columns: ["voice_id", "user_id"];
            isOneToOne: false;
            referencedRelation: "voices";
            referencedColumns: ["id", "user_id"];
          },
        ];
      };
      "calls": {
        Row: {
          "created_at": string;
          "duration_seconds": number | null;
          "held_at": string;
          "id": string;
          "recording_id": string | null;
          "title": string;
          "transcript": string | null;
          "transcript_data": Json | null;
          "transcript_job_id": string | null;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "duration_seconds"?: number | null;
          "held_at"?: string;
          "id"?: string;
          "recording_id"?: string | null;
          "title": string;
          "transcript"?: string | null;
          "transcript_data"?: Json | null;
          "transcript_job_id"?: string | null;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Update: {
          "created_at"?: string;
          "duration_seconds"?: number | null;
          "held_at"?: string;
          "id"?: string;
          "recording_id"?: string | null;
          "title"?: string;
          "transcript"?: string | null;
          "transcript_data"?: Json | null;
          "transcript_job_id"?: string | null;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "calls_recording_fkey";
            columns: ["recording_id", "user_id"];
            isOneToOne: false;
            referencedRelation: "media";
            referencedColumns: ["id", "user_id"];
          },
          {
            foreignKeyName: "calls_transcript_job_fkey";
            columns: ["transcript_job_id", "user_id"];
            isOneToOne: false;
            referencedRelation: "ai_jobs";
            referencedColumns: ["id", "user_id"];
          },
        ];
      };
      "deliveries": {
        Row: {
          "carrier": string | null;
          "created_at": string;
          "delivered_at": string | null;
          "id": string;
          "order_id": string;
          "shipped_at": string | null;
          "status": string;
          "tracking_number": string | null;
          "updated_at": string;
          "user_id": string | null;
          "vendor_id": string;
        };
        ComputedFields: never;
        Insert: {
          "carrier"?: string | null;
          "created_at"?: string;
          "delivered_at"?: string | null;
          "id"?: string;
          "order_id": string;
          "shipped_at"?: string | null;
          "status"?: string;
          "tracking_number"?: string | null;
          "updated_at"?: string;
          "user_id"?: string | null;
          "vendor_id"?: string;
        };
        Update: {
          "carrier"?: string | null;
          "created_at"?: string;
          "delivered_at"?: string | null;
          "id"?: string;
          "order_id"?: string;
          "shipped_at"?: string | null;
          "status"?: string;
          "tracking_number"?: string | null;
          "updated_at"?: string;
          "user_id"?: string | null;
          "vendor_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "deliveries_order_fkey";
            columns: ["order_id", "vendor_id"];
            isOneToOne: false;
            referencedRelation: "orders";
            referencedColumns: ["id", "vendor_id"];
          },
        ];
      };
      "media": {
        Row: {
          "content_type": string;
          "created_at": string;
          "duration_seconds": number | null;
          "file_name": string;
          "id": string;
          "media_type": string;
          "size_bytes": number;
          "storage_path": string;
          "title": string | null;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "content_type": string;
          "created_at"?: string;
          "duration_seconds"?: number | null;
          "file_name": string;
          "id"?: string;
          "media_type": string;
          "size_bytes": number;
          "storage_path": string;
          "title"?: string | null;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Update: {
          "content_type"?: string;
          "created_at"?: string;
          "duration_seconds"?: number | null;
          "file_name"?: string;
          "id"?: string;
          "media_type"?: string;
          "size_bytes"?: number;
          "storage_path"?: string;
          "title"?: string | null;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "order_items": {
        Row: {
          "created_at": string;
          "currency": string;
          "description": string;
          "id": string;
          "is_pdf_deleted": boolean;
          "line_total_minor": number;
          "order_id": string;
          "pdf_id": string | null;
          "product_id": string;
          "quantity": number;
          "unit_price_minor": number;
          "updated_at": string;
          "vendor_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "currency"?: string;
          "description"?: string;
          "id"?: string;
          "is_pdf_deleted"?: boolean;
          "line_total_minor"?: never;
          "order_id": string;
          "pdf_id"?: string | null;
          "product_id": string;
          "quantity": number;
          "unit_price_minor"?: number;
          "updated_at"?: string;
          "vendor_id"?: string;
        };
        Update: {
          "created_at"?: string;
          "currency"?: string;
          "description"?: string;
          "id"?: string;
          "is_pdf_deleted"?: boolean;
          "line_total_minor"?: never;
          "order_id"?: string;
          "pdf_id"?: string | null;
          "product_id"?: string;
          "quantity"?: number;
          "unit_price_minor"?: number;
          "updated_at"?: string;
          "vendor_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "order_items_order_fkey";
            columns: ["order_id", "vendor_id", "currency"];
            isOneToOne: false;
            referencedRelation: "orders";
            referencedColumns: ["id", "vendor_id", "currency"];
          },
          {
            foreignKeyName: "order_items_pdf_id_fkey";
            columns: ["pdf_id"];
            isOneToOne: false;
            referencedRelation: "pdfs";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "order_items_product_fkey";
            columns: ["product_id", "vendor_id", "currency"];
            isOneToOne: false;
            referencedRelation: "vendor_products";
            referencedColumns: ["id", "vendor_id", "currency"];
          },
        ];
      };
      "orders": {
        Row: {
          "completed_at": string | null;
          "created_at": string;
          "currency": string;
          "id": string;
          "items_total_minor": number;
          "paid_at": string | null;
          "placed_at": string | null;
          "shipping_address": Json | null;
          "shipping_minor": number;
          "status": string;
          "tax_minor": number;
          "total_minor": number;
          "updated_at": string;
          "user_id": string | null;
          "vendor_id": string;
        };
        ComputedFields: never;
        Insert: {
          "completed_at"?: string | null;
          "created_at"?: string;
          "currency": string;
          "id"?: string;
          "items_total_minor"?: number;
          "paid_at"?: string | null;
          "placed_at"?: string | null;
          "shipping_address"?: Json | null;
          "shipping_minor"?: number;
          "status"?: string;
          "tax_minor"?: number;
          "total_minor"?: never;
          "updated_at"?: string;
          "user_id"?: string | null;
          "vendor_id": string;
        };
        Update: {
          "completed_at"?: string | null;
          "created_at"?: string;
          "currency"?: string;
          "id"?: string;
          "items_total_minor"?: number;
          "paid_at"?: string | null;
          "placed_at"?: string | null;
          "shipping_address"?: Json | null;
          "shipping_minor"?: number;
          "status"?: string;
          "tax_minor"?: number;
          "total_minor"?: never;
          "updated_at"?: string;
          "user_id"?: string | null;
          "vendor_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "orders_vendor_id_fkey";
            columns: ["vendor_id"];
            isOneToOne: false;
            referencedRelation: "vendors";
            referencedColumns: ["id"];
          },
        ];
      };
      "payments": {
        Row: {
          "amount_minor": number;
          "captured_at": string | null;
          "created_at": string;
          "currency": string;
          "id": string;
          "order_id": string;
          "provider": string;
          "provider_payment_id": string;
          "refunded_minor": number;
          "status": string;
          "updated_at": string;
          "user_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "amount_minor": number;
          "captured_at"?: string | null;
          "created_at"?: string;
          "currency": string;
          "id"?: string;
          "order_id": string;
          "provider": string;
          "provider_payment_id": string;
          "refunded_minor"?: number;
          "status"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
        };
        Update: {
          "amount_minor"?: number;
          "captured_at"?: string | null;
          "created_at"?: string;
          "currency"?: string;
          "id"?: string;
          "order_id"?: string;
          "provider"?: string;
          "provider_payment_id"?: string;
          "refunded_minor"?: number;
          "status"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "payments_order_fkey";
            columns: ["order_id", "currency"];
            isOneToOne: false;
            referencedRelation: "orders";
            referencedColumns: ["id", "currency"];
          },
        ];
      };
      "pdfs": {
        Row: {
          "created_at": string;
          "id": string;
          "job_id": string | null;
          "page_count": number;
          "pdf_url": string;
          "size_bytes": number;
          "slideshow_id": string | null;
          "title": string;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "id"?: string;
          "job_id"?: string | null;
          "page_count": number;
          "pdf_url": string;
          "size_bytes": number;
          "slideshow_id"?: string | null;
          "title": string;
          "updated_at"?: string;
          "user_id": string;
        };
        Update: {
          "created_at"?: string;
          "id"?: string;
          "job_id"?: string | null;
          "page_count"?: number;
          "pdf_url"?: string;
          "size_bytes"?: number;
          "slideshow_id"?: string | null;
          "title"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "pdfs_job_fkey";
            columns: ["job_id", "user_id"];
            isOneToOne: false;
            referencedRelation: "ai_jobs";
            referencedColumns: ["id", "user_id"];
          },
          {
            foreignKeyName: "pdfs_slideshow_fkey";
            columns: ["slideshow_id", "user_id"];
            isOneToOne: false;
            referencedRelation: "slideshows";
            referencedColumns: ["id", "user_id"];
          },
        ];
      };
      "pending_uploads": {
        Row: {
          "created_at": string;
          "expires_at": string;
          "object_path": string;
          "size_bytes": number;
          "stored_at": string | null;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "expires_at"?: string;
          "object_path": string;
          "size_bytes": number;
          "stored_at"?: string | null;
          "user_id"?: string;
        };
        Update: {
          "created_at"?: string;
          "expires_at"?: string;
          "object_path"?: string;
          "size_bytes"?: number;
          "stored_at"?: string | null;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "profiles": {
        Row: {
          "created_at": string;
          "display_name": string;
          "locale": string;
          "photo_path": string | null;
          "time_zone": string;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "display_name": string;
          "locale"?: string;
          "photo_path"?: string | null;
          "time_zone"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Update: {
          "created_at"?: string;
          "display_name"?: string;
          "locale"?: string;
          "photo_path"?: string | null;
          "time_zone"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "slideshow_items": {
        Row: {
          "caption": string | null;
          "created_at": string;
          "id": string;
          "is_full_page": boolean;
          "media_id": string;
          "position": number;
          "public_path": string | null;
          "slideshow_id": string;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "caption"?: string | null;
          "created_at"?: string;
          "id"?: string;
          "is_full_page"?: boolean;
          "media_id": string;
          "position": number;
          "public_path"?: string | null;
          "slideshow_id": string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Update: {
          "caption"?: string | null;
          "created_at"?: string;
          "id"?: string;
          "is_full_page"?: boolean;
          "media_id"?: string;
          "position"?: number;
          "public_path"?: string | null;
          "slideshow_id"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "slideshow_items_media_fkey";
            columns: ["media_id", "user_id"];
            isOneToOne: false;
            referencedRelation: "media";
            referencedColumns: ["id", "user_id"];
          },
          {
            foreignKeyName: "slideshow_items_slideshow_fkey";
            columns: ["slideshow_id", "user_id"];
            isOneToOne: false;
            referencedRelation: "slideshows";
            referencedColumns: ["id", "user_id"];
          },
        ];
      };
      "slideshows": {
        Row: {
          "created_at": string;
          "description": string | null;
          "id": string;
          "is_published": boolean;
          "share_token": string;
          "title": string;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "description"?: string | null;
          "id"?: string;
          "is_published"?: boolean;
          "share_token"?: string;
          "title": string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Update: {
          "created_at"?: string;
          "description"?: string | null;
          "id"?: string;
          "is_published"?: boolean;
          "share_token"?: string;
          "title"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "vendor_members": {
        Row: {
          "created_at": string;
          "user_id": string;
          "vendor_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "user_id": string;
          "vendor_id": string;
        };
        Update: {
          "created_at"?: string;
          "user_id"?: string;
          "vendor_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "vendor_members_vendor_id_fkey";
            columns: ["vendor_id"];
            isOneToOne: false;
            referencedRelation: "vendors";
            referencedColumns: ["id"];
          },
        ];
      };
      "vendor_products": {
        Row: {
          "created_at": string;
          "currency": string;
          "id": string;
          "is_active": boolean;
          "name": string;
          "sku": string;
          "unit_price_minor": number;
          "updated_at": string;
          "vendor_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "currency": string;
          "id"?: string;
          "is_active"?: boolean;
          "name": string;
          "sku": string;
          "unit_price_minor": number;
          "updated_at"?: string;
          "vendor_id": string;
        };
        Update: {
          "created_at"?: string;
          "currency"?: string;
          "id"?: string;
          "is_active"?: boolean;
          "name"?: string;
          "sku"?: string;
          "unit_price_minor"?: number;
          "updated_at"?: string;
          "vendor_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "vendor_products_vendor_id_fkey";
            columns: ["vendor_id"];
            isOneToOne: false;
            referencedRelation: "vendors";
            referencedColumns: ["id"];
          },
        ];
      };
      "vendors": {
        Row: {
          "country": string;
          "created_at": string;
          "id": string;
          "is_active": boolean;
          "name": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "country": string;
          "created_at"?: string;
          "id"?: string;
          "is_active"?: boolean;
          "name": string;
          "updated_at"?: string;
        };
        Update: {
          "country"?: string;
          "created_at"?: string;
          "id"?: string;
          "is_active"?: boolean;
          "name"?: string;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "voices": {
        Row: {
          "created_at": string;
          "description": string | null;
          "id": string;
          "job_id": string | null;
          "labels": NonNullable<Json>;
          "name": string;
          "provider": string;
          "provider_missing_since": string | null;
          "provider_voice_id": string;
          "sample_url": string | null;
          "similarity_boost": number;
          "stability": number;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "description"?: string | null;
          "id"?: string;
          "job_id"?: string | null;
          "labels"?: NonNullable<Json>;
          "name": string;
          "provider": string;
          "provider_missing_since"?: string | null;
          "provider_voice_id": string;
          "sample_url"?: string | null;
          "similarity_boost": number;
          "stability": number;
          "updated_at"?: string;
          "user_id": string;
        };
        Update: {
          "created_at"?: string;
          "description"?: string | null;
          "id"?: string;
          "job_id"?: string | null;
          "labels"?: NonNullable<Json>;
          "name"?: string;
          "provider"?: string;
          "provider_missing_since"?: string | null;
          "provider_voice_id"?: string;
          "sample_url"?: string | null;
          "similarity_boost"?: number;
          "stability"?: number;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "voices_job_fkey";
            columns: ["job_id", "user_id"];
            isOneToOne: false;
            referencedRelation: "ai_jobs";
            referencedColumns: ["id", "user_id"];
          },
        ];
      };
    };
    Views: {
      [_ in never]: never;
    };
    Functions: {
      "ai_job_input_hash": {
        Args: {
          "p_input_url": string;
          "p_input_version"?: string;
          "p_job_type": string;
          "p_metadata": Json;
          "p_user_id": string;
        };
        Returns: string;
      };
      "begin_janitor_run": {
        Args: { "p_message_id": string; "p_sent_at_unix": number };
        Returns: {
          "jobs_checked": number;
          "jobs_deleted": number;
        }[];
      };
      "begin_provider_calls": {
        Args: { "p_calls": Json };
        Returns: {
          "call_id": string;
          "decision": string;
          "ended_calls": number;
          "error": Json;
          "is_lookup_conclusive": boolean;
          "job_id": string;
          "provider_object_id": string;
        }[];
      };
      "begin_provider_scan": {
        Args: { "p_lease_seconds"?: number; "p_provider": string };
        Returns: {
          "is_listed": boolean;
          "lease_token": string;
          "page_cursor": string;
        }[];
      };
      "cancel_ai_job": {
        Args: { "p_job_id": string; "p_lease_token": string };
        Returns: boolean;
      };
      "claim_abandoned_uploads": {
        Args: { "p_lease_seconds"?: number; "p_limit": number };
        Returns: {
          "lease_token": string;
          "upload_id": string;
        }[];
      };
      "claim_ai_jobs": {
        Args: {
          "p_job_ids"?: (string)[];
          "p_limit": number;
          "p_worker"?: string;
        };
        Returns: {
          "attempt": number;
          "billable_calls": number;
          "cached_from_job_id": string | null;
          "cancel_requested_at": string | null;
          "completed_at": string | null;
          "cost_currency": string;
          "cost_micros": number;
          "created_at": string;
          "depends_on_job_id": string | null;
          "error_code": string | null;
          "error_message": string | null;
          "event_seq": number;
          "id": string;
          "idempotency_key": string | null;
          "input_hash": string | null;
          "input_url": string | null;
          "is_blocked": boolean;
          "job_type": string;
          "last_event": string;
          "lease_expires_at": string | null;
          "lease_token": string | null;
          "max_attempts": number;
          "metadata": NonNullable<Json>;
          "output_url": string | null;
          "priority": number;
          "progress_percentage": number;
          "provider": string;
          "provider_job_id": string | null;
          "queue_key": number | null;
          "result_data": Json | null;
          "retry_requested_at": string | null;
          "scheduled_at": string;
          "spend": string;
          "stage": string | null;
          "started_at": string | null;
          "status": string;
          "traceparent": string;
          "updated_at": string;
          "user_id": string;
        }[];
        SetofOptions: {
          from: "*";
          to: "ai_jobs";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "claim_dispatched_ai_jobs": {
        Args: {
          "p_limit": number;
          "p_message_id": string;
          "p_sent_at_unix": number;
          "p_worker"?: string;
        };
        Returns: {
          "attempt": number;
          "billable_calls": number;
          "cached_from_job_id": string | null;
          "cancel_requested_at": string | null;
          "completed_at": string | null;
          "cost_currency": string;
          "cost_micros": number;
          "created_at": string;
          "depends_on_job_id": string | null;
          "error_code": string | null;
          "error_message": string | null;
          "event_seq": number;
          "id": string;
          "idempotency_key": string | null;
          "input_hash": string | null;
          "input_url": string | null;
          "is_blocked": boolean;
          "job_type": string;
          "last_event": string;
          "lease_expires_at": string | null;
          "lease_token": string | null;
          "max_attempts": number;
          "metadata": NonNullable<Json>;
          "output_url": string | null;
          "priority": number;
          "progress_percentage": number;
          "provider": string;
          "provider_job_id": string | null;
          "queue_key": number | null;
          "result_data": Json | null;
          "retry_requested_at": string | null;
          "scheduled_at": string;
          "spend": string;
          "stage": string | null;
          "started_at": string | null;
          "status": string;
          "traceparent": string;
          "updated_at": string;
          "user_id": string;
        }[];
        SetofOptions: {
          from: "*";
          to: "ai_jobs";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "claim_lost_job_files": {
        Args: {
          "p_job_id": string;
          "p_lease_seconds"?: number;
          "p_user_id": string;
        };
        Returns: {
          "id": number;
          "lease_token": string;
          "object_path": string;
        }[];
      };
      "claim_provider_removals": {
        Args: {
          "p_lease_seconds"?: number;
          "p_limit": number;
          "p_providers": (string)[];
        };
        Returns: {
          "id": number;
          "is_lookup_conclusive": boolean;
          "lease_token": string;
          "made_at": string;
          "marker": string;
          "object_type": string;
          "provider": string;
          "provider_object_id": string;
        }[];
      };
      "claim_storage_removals": {
        Args: { "p_lease_seconds"?: number; "p_limit": number };
        Returns: {
          "id": number;
          "lease_token": string;
          "object_path": string;
        }[];
      };
      "complete_ai_jobs": {
        Args: { "p_jobs": Json };
        Returns: {
          "error": Json;
          "job_id": string;
        }[];
      };
      "create_ai_job": {
        Args: {
          "p_cached_from_job_id"?: string;
          "p_depends_on_job_id"?: string;
          "p_idempotency_key"?: string;
          "p_input_url"?: string;
          "p_is_cache_searched"?: boolean;
          "p_job_type": string;
          "p_metadata": Json;
          "p_traceparent"?: string;
        };
        Returns: Json;
      };
      "delete_ended_ai_jobs": {
        Args: {
          "p_ended_before"?: string;
          "p_limit"?: number;
          "p_user_id"?: string;
        };
        Returns: number;
      };
      "discard_found_object": {
        Args: {
          "p_id": number;
          "p_lease_token": string;
          "p_provider_object_id": string;
        };
        Returns: boolean;
      };
      "doubt_provider_call": {
        Args: {
          "p_job_id": string;
          "p_lease_token": string;
          "p_making_seconds"?: number;
          "p_operation": string;
        };
        Returns: string;
      };
      "end_provider_scan": {
        Args: {
          "p_error_code"?: string;
          "p_lease_token": string;
          "p_provider": string;
        };
        Returns: boolean;
      };
      "fail_ai_job": {
        Args: {
          "p_error_code": string;
          "p_error_message": string;
          "p_is_retryable": boolean;
          "p_job_id": string;
          "p_lease_token": string;
          "p_retry_after_seconds"?: number;
        };
        Returns: string;
      };
      "get_ai_budget": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "budget_micros": number | null;
          "month": string;
          "remaining_micros": number | null;
          "reserved_micros": number;
          "spent_micros": number;
        }[];
      };
      "get_ai_costs": {
        Args: { "p_user_id"?: string };
        Returns: {
          "cost_micros": number;
          "month": string;
          "paid_calls": number;
          "provider": string;
          "reserved_micros": number;
        }[];
      };
      "get_ai_result_cache": { Args: { "p_cache_key": string }; Returns: Json };
      "get_keepsake_contents": {
        Args: { "p_slideshow_id": string; "p_user_id": string };
        Returns: Json;
      };
      "get_shared_slideshow": {
        Args: { "p_share_token": string };
        Returns: Json;
      };
      "heartbeat_ai_jobs": {
        Args: { "p_beats": Json };
        Returns: {
          "is_cancel_requested": boolean;
          "job_id": string;
        }[];
      };
      "jobs_ahead": {
        Args: {
          "p_job": Omit<
            Database["public"]["Tables"]["ai_jobs"]["Row"],
            Database["public"]["Tables"]["ai_jobs"]["ComputedFields"]
          >;
        };
        Returns: number;
      };
      "ops_actions": {
        Args: {
          "p_before_id"?: number;
          "p_limit"?: number;
          "p_operator_id": string;
        };
        Returns: Json;
      };
      "ops_budgets": {
        Args: {
          "p_after_spent_micros"?: number;
          "p_after_user_id"?: string;
          "p_limit"?: number;
          "p_operator_id": string;
        };
        Returns: Json;
      };
      "ops_cancel": {
        Args: { "p_job_id": string; "p_operator_id": string };
        Returns: Json;
      };
      "ops_charts": {
        Args: { "p_operator_id": string; "p_range": string };
        Returns: Json;
      };
      "ops_failures": {
        Args: { "p_operator_id": string; "p_range": string };
        Returns: Json;
      };
      "ops_job": {
        Args: { "p_job_id": string; "p_operator_id": string };
        Returns: Json;
      };
      "ops_job_payload": {
        Args: { "p_job_id": string; "p_operator_id": string };
        Returns: Json;
      };
      "ops_overview": { Args: { "p_operator_id": string }; Returns: Json };
      "ops_parked": {
        Args: { "p_limit"?: number; "p_operator_id": string };
        Returns: Json;
      };
      "ops_parked_call": {
        Args: {
          "p_call_id"?: string;
          "p_job_id": string;
          "p_operator_id": string;
        };
        Returns: Json;
      };
      "ops_pause": {
        Args: {
          "p_is_paused": boolean;
          "p_job_type"?: string;
          "p_operator_id": string;
          "p_provider"?: string;
          "p_user_id"?: string;
        };
        Returns: number;
      };
      "ops_preview_redrive": {
        Args: {
          "p_error_code"?: string;
          "p_failed_since"?: string;
          "p_job_type"?: string;
          "p_operator_id": string;
          "p_provider"?: string;
          "p_user_id"?: string;
        };
        Returns: Json;
      };
      "ops_probe_provider": {
        Args: { "p_operator_id": string; "p_provider": string };
        Returns: boolean;
      };
      "ops_providers": { Args: { "p_operator_id": string }; Returns: Json };
      "ops_redrive": {
        Args: {
          "p_error_code"?: string;
          "p_expected_count": number;
          "p_failed_since"?: string;
          "p_job_type"?: string;
          "p_limit"?: number;
          "p_operator_id": string;
          "p_provider"?: string;
          "p_user_id"?: string;
        };
        Returns: Json;
      };
      "ops_resolve": {
        Args: {
          "p_call_id"?: string;
          "p_is_unchecked"?: boolean;
          "p_job_id": string;
          "p_operator_id": string;
          "p_provider_object_id"?: string;
          "p_was_made": boolean;
        };
        Returns: Json;
      };
      "ops_retry": {
        Args: { "p_job_id": string; "p_operator_id": string };
        Returns: Json;
      };
      "ops_search_jobs": {
        Args: {
          "p_before_created_at"?: string;
          "p_before_id"?: string;
          "p_error_code"?: string;
          "p_job_id"?: string;
          "p_job_type"?: string;
          "p_limit"?: number;
          "p_operator_id": string;
          "p_provider"?: string;
          "p_status"?: string;
          "p_user_email"?: string;
          "p_user_id"?: string;
        };
        Returns: Json;
      };
      "ops_set_budget": {
        Args: {
          "p_budget_micros"?: number;
          "p_operator_id": string;
          "p_provider"?: string;
          "p_user_id"?: string;
        };
        Returns: undefined;
      };
      "ops_take_back": {
        Args: { "p_job_id": string; "p_operator_id": string };
        Returns: Json;
      };
      "pause_ai_jobs": {
        Args: {
          "p_is_paused"?: boolean;
          "p_job_type"?: string;
          "p_provider"?: string;
          "p_user_id"?: string;
        };
        Returns: number;
      };
      "poll_ai_jobs": {
        Args: {
          "p_is_last"?: boolean;
          "p_limit": number;
          "p_poll_id": string;
          "p_worker"?: string;
        };
        Returns: {
          "attempt": number;
          "billable_calls": number;
          "cached_from_job_id": string | null;
          "cancel_requested_at": string | null;
          "completed_at": string | null;
          "cost_currency": string;
          "cost_micros": number;
          "created_at": string;
          "depends_on_job_id": string | null;
          "error_code": string | null;
          "error_message": string | null;
          "event_seq": number;
          "id": string;
          "idempotency_key": string | null;
          "input_hash": string | null;
          "input_url": string | null;
          "is_blocked": boolean;
          "job_type": string;
          "last_event": string;
          "lease_expires_at": string | null;
          "lease_token": string | null;
          "max_attempts": number;
          "metadata": NonNullable<Json>;
          "output_url": string | null;
          "priority": number;
          "progress_percentage": number;
          "provider": string;
          "provider_job_id": string | null;
          "queue_key": number | null;
          "result_data": Json | null;
          "retry_requested_at": string | null;
          "scheduled_at": string;
          "spend": string;
          "stage": string | null;
          "started_at": string | null;
          "status": string;
          "traceparent": string;
          "updated_at": string;
          "user_id": string;
        }[];
        SetofOptions: {
          from: "*";
          to: "ai_jobs";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "read_ai_health": { Args: Record<PropertyKey, never>; Returns: Json };
      "read_ai_metrics": { Args: Record<PropertyKey, never>; Returns: Json };
      "receive_provider_webhook": {
        Args: {
          "p_event_ids": (string)[];
          "p_job_id"?: string;
          "p_provider": string;
          "p_provider_job_id"?: string;
          "p_sent_at_unix"?: number;
          "p_submission_id"?: string;
          "p_tolerance_seconds"?: number;
        };
        Returns: string;
      };
      "record_provider_page": {
        Args: {
          "p_lease_seconds"?: number;
          "p_lease_token": string;
          "p_next_cursor"?: string;
          "p_objects": Json;
          "p_provider": string;
        };
        Returns: boolean;
      };
      "record_provider_rows": {
        Args: {
          "p_lease_token": string;
          "p_missing": (string)[];
          "p_present": (string)[];
          "p_provider": string;
        };
        Returns: boolean;
      };
      "redrive_ai_jobs": {
        Args: {
          "p_error_code"?: string;
          "p_failed_since"?: string;
          "p_job_type"?: string;
          "p_limit"?: number;
          "p_user_id"?: string;
        };
        Returns: number;
      };
      "release_ai_job": {
        Args: { "p_job_id": string; "p_lease_token": string };
        Returns: boolean;
      };
      "reorder_slideshow": {
        Args: { "p_item_ids": (string)[]; "p_slideshow_id": string };
        Returns: number;
      };
      "report_ai_leftovers": {
        Args: { "p_limit"?: number };
        Returns: {
          "attempts": number;
          "job_id": string;
          "kind": string;
          "last_error_code": string;
          "object_id": string;
          "object_type": string;
          "provider": string;
          "remove_after": string;
          "since": string;
          "state": string;
        }[];
      };
      "report_payments_to_return": {
        Args: { "p_limit"?: number };
        Returns: {
          "action": string;
          "amount_minor": number;
          "currency": string;
          "order_id": string;
          "order_status": string;
          "payment_id": string;
          "payment_status": string;
          "provider": string;
          "provider_payment_id": string;
        }[];
      };
      "rescue_stalled_ai_jobs": {
        Args: { "p_limit"?: number };
        Returns: {
          "job_id": string;
          "status": string;
        }[];
      };
      "resolve_unknown_ai_job": {
        Args: {
          "p_call_id"?: string;
          "p_job_id": string;
          "p_provider_object_id"?: string;
          "p_was_made": boolean;
        };
        Returns: boolean;
      };
      "reuse_ai_job_result": {
        Args: {
          "p_job_id": string;
          "p_lease_token": string;
          "p_source_job_id": string;
        };
        Returns: boolean;
      };
      "revise_provider_call": {
        Args: {
          "p_job_id": string;
          "p_lease_token": string;
          "p_operation": string;
          "p_units": number;
        };
        Returns: boolean;
      };
      "save_ai_job_checkpoint": {
        Args: {
          "p_data": Json;
          "p_job_id": string;
          "p_lease_token": string;
          "p_upload_id"?: string;
        };
        Returns: boolean;
      };
      "scan_stored_files": { Args: { "p_limit"?: number }; Returns: number };
      "set_ai_budget": {
        Args: { "p_budget_micros": number; "p_user_id": string };
        Returns: undefined;
      };
      "settle_abandoned_uploads": {
        Args: {
          "p_error_code"?: string;
          "p_lease_token": string;
          "p_upload_ids": (string)[];
        };
        Returns: number;
      };
      "settle_provider_calls": {
        Args: { "p_calls": Json };
        Returns: {
          "error": Json;
          "is_settled": boolean;
          "job_id": string;
        }[];
      };
      "settle_provider_removal": {
        Args: {
          "p_error_code"?: string;
          "p_id": number;
          "p_lease_token": string;
          "p_outcome": string;
        };
        Returns: boolean;
      };
      "settle_storage_removals": {
        Args: {
          "p_error_code"?: string;
          "p_ids": (number)[];
          "p_lease_token": string;
        };
        Returns: number;
      };
      "snooze_ai_job": {
        Args: {
          "p_delay_seconds": number;
          "p_error_code"?: string;
          "p_error_message"?: string;
          "p_job_id": string;
          "p_lease_token": string;
          "p_stage"?: string;
        };
        Returns: boolean;
      };
      "take_back_ai_job_answer": {
        Args: { "p_job_id": string };
        Returns: boolean;
      };
      "unseen_provider_rows": {
        Args: {
          "p_lease_token": string;
          "p_limit": number;
          "p_provider": string;
        };
        Returns: string[];
      };
      "wake_ai_job_worker": { Args: { "p_worker"?: string }; Returns: boolean };
    };
    Enums: {
      [_ in never]: never;
    };
    CompositeTypes: {
      [_ in never]: never;
    };
  };
};

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">;

type DefaultSchema =
  DatabaseWithoutInternals[Extract<keyof Database, "public">];

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof (
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
        "Tables"
      ]
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
        "Views"
      ]
    )
    : never = never,
> = DefaultSchemaTableNameOrOptions extends
  { schema: keyof DatabaseWithoutInternals } ? (
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
      "Tables"
    ]
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
      "Views"
    ]
  )[TableName] extends {
    Row: infer R;
  } ? R
  : never
  : DefaultSchemaTableNameOrOptions extends
    keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[
      DefaultSchemaTableNameOrOptions
    ] extends {
      Row: infer R;
    } ? R
    : never
  : never;

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
      "Tables"
    ]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends
  { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
    "Tables"
  ][TableName] extends {
    Insert: infer I;
  } ? I
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Insert: infer I;
    } ? I
    : never
  : never;

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
      "Tables"
    ]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends
  { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
    "Tables"
  ][TableName] extends {
    Update: infer U;
  } ? U
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Update: infer U;
    } ? U
    : never
  : never;

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]][
      "Enums"
    ]
    : never = never,
> = DefaultSchemaEnumNameOrOptions extends
  { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][
    EnumName
  ]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
    ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
  : never;

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  }
    ? keyof DatabaseWithoutInternals[
      PublicCompositeTypeNameOrOptions["schema"]
    ]["CompositeTypes"]
    : never = never,
> = PublicCompositeTypeNameOrOptions extends
  { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]][
    "CompositeTypes"
  ][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends
    keyof DefaultSchema["CompositeTypes"]
    ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
  : never;

export const Constants = {
  "public": {
    Enums: {},
  },
} as const;
