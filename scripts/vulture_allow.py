"""Names that vulture takes for unused, by the reason why they are not.

A file of bare expressions is how vulture wants its allow-list.
"""
# ruff: noqa: B018, F821

# Public, for users of the package, and tested.
_.bos_token_id
_.special_token_text
_.matched
_.local_path

# Members of enumerations that are read from files or sent to callers.
_.UNDEFINED
_.BYTE
_.ADMIN

# Set on objects of other libraries, which read them.
_.num_kv_blocks
_.dynamic_split_fuse
_.enable_prefix_caching
_.max_new_tokens
_.min_new_tokens
_.do_sample
_.rng_seed
_.structured_output_config
_.should_exit
_.pre_tokenizer
_.normalizer
_.post_processor
_.__signature__
_.__annotations__

# Overridden methods and class attributes that a library looks for.
_.capture_signals
_.handleError
_.tags
model_config

# Fields of the wire format: written or accepted, and by definition without effect here.
_.service_tier
_.prompt_cache_key
_.safety_identifier
_.include_obfuscation
_.strict
_.total_tokens
_.system_fingerprint
_.token_logprobs
_.owned_by
_.token_strs
_.metadata
_.store
_.user

# Members of enumerations that the command line chooses by their value.
_.UNPROVEN
_.CHAT
_.COMPLETIONS
_.INFER

# Called by asyncio and httptools.
_.connection_made
_.connection_lost
_.on_header
_.on_headers_complete
_.on_body
_.on_message_complete

# Fields of report.json and plan.json, for whoever reads the files.
_.effective
_.p95
_.stated_error
_.loop_lag_p50_s
_.stages
_.tokenizer_matches
_.token_ratio
_.strategy
_.instance_type
_.tensor_parallel
_.pipeline_parallel
_.settings
_.schema_version

# Fields of charts, read by the page's script.
_.scales
_.band
_.axis
_.cross
_.x
_.y
_.shades
_.on_message_begin
_.SAME_ORIGIN

# Attributes that urllib3 and libtorrent read.
_.ConnectionCls
_.ti
_.save_path
_.renamed_files
_.piece_priorities
_.max_connections
_.have_pieces

# For listeners of a transfer.
_.files_done
_.files_total

# Called by model-signing.
_.add_ignored_paths

# Methods that transformers' generation cache calls, and attributes that it reads.
_.is_sliding
_.is_initialized
_.lazy_initialization
_.get_seq_length
_.get_max_length

# Attributes that ONNX Runtime and Pillow read.
_.enable_profiling
_.profile_file_prefix
_.intra_op_num_threads
_.inter_op_num_threads
_.log_severity_level
_.MAX_IMAGE_PIXELS

# Fields of JSON that is written.
_.deleted
_.padding_unbucketed
_.ebs_mbps

# For those who choose an instance for a compiled model by hand.
models_that_fit

# Read by programs that plan or simulate with the package, and tested.
_.arrivals_per_s
_.finished_per_s
_.in_progress
_.prefill_s
_.reject_rate
_.replica_hours
_.time_s
_.timeline
_.wait_probability
_.with_efficiency

# Routing: what rich and Starlette read, the fields of a file, and of what programs are told.
_.justify
_.background
_.n_predict
_.over_best
_.mean_rate
_.spilled
_.failing
fit_classifier

# Shipping: a method that PyYAML asks, and targets that are looked up by their names.
_.ignore_aliases
LocalTarget
TerraformTarget

# Verbs, which `pilotage.cli.verbs` looks up by their names.
_.prove
