"""The terms of a plan: names to look them up by, title, explanation, formula, source."""

from __future__ import annotations

from typing import Final

_VLLM = "vLLM's documentation and its start-up log, checked against published logs of it"
_ROOFLINE = "Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009"

TERMS: Final[tuple[tuple[tuple[str, ...], str, str, str, str], ...]] = (
    (
        ("TTFT", "time to first token", "first token"),
        "Time to first token (TTFT)",
        "From the moment a request is due until its first output token. It holds the wait in the "
        "queue, the encoding of images and the prefill of the prompt. It rises first when load "
        "grows, because prompts queue behind one another.",
        "TTFT = wait + image encoding + prefill steps of the prompt",
        "MLPerf Inference rules: latency counts from the scheduled send time",
    ),
    (
        ("TPOT", "time per output token", "time per token"),
        "Time per output token (TPOT)",
        "The mean time between output tokens of one request, after the first. It is the length of "
        "a decode step as that request meets it, chunks of other prompts in the same step "
        "included.",
        "TPOT = (E2E - TTFT) / (output tokens - 1)",
        "MLPerf Inference rules for language models",
    ),
    (
        ("ITL", "inter-token latency"),
        "Inter-token latency (ITL)",
        "The gap between two neighbouring output tokens. Its mean over a request is TPOT; its "
        "tail shows single long steps that a mean hides.",
        "",
        "vLLM's serving benchmark uses the same word for it",
    ),
    (
        ("E2E", "end to end", "e2e latency", "latency"),
        "End-to-end latency (E2E)",
        "From the moment a request is due until its last token.",
        "E2E = TTFT + TPOT x (output tokens - 1)",
        "MLPerf Inference rules: latency counts from the scheduled send time",
    ),
    (
        ("p99", "p50", "p90", "percentile"),
        "Percentile",
        "p99 is the latency that 99 of 100 requests keep. A simulation or a measurement sees a "
        "sample, so the plan gives the interval beside it: another run of the same length would "
        "be expected within. The interval holds chance only; the stated error holds the model's.",
        "the ceil(q x n)-th smallest of n; interval by batch means or order statistics",
        "MLPerf: 262,742 queries for p99 with 99 % confidence and a margin of 0.05 %",
    ),
    (
        ("SLO", "service-level objective", "promise"),
        "Service-level objective (SLO)",
        "The latency that is promised for 99 of 100 requests: ttft_p99, tpot_p99, e2e_p99 of the "
        "spec. An option that misses one by its predicted p99 is infeasible.",
        "",
        "the spec's slo section",
    ),
    (
        ("goodput",),
        "Goodput",
        "Requests a second that are answered whole and within every promise. Throughput counts "
        "late answers too; goodput does not.",
        "goodput = requests that keep the SLO / seconds",
        "DistServe, OSDI 2024",
    ),
    (
        ("prefill",),
        "Prefill",
        "Reading the prompt: all its tokens pass the model at once, and their keys and values "
        "fill the cache. It is bound by arithmetic, because each weight that is read serves many "
        "tokens.",
        "FLOP = 2 x active parameters x tokens + attention; "
        "seconds = FLOP / (peak FLOP/s x efficiency) + step overhead",
        _ROOFLINE,
    ),
    (
        ("decode", "decode step"),
        "Decode",
        "Writing the answer: each step gives every running sequence one token. It is bound by "
        "memory, because a step reads all active weights and all cached keys and values, however "
        "few sequences share it. More sequences a step cost little until the cache or the "
        "arithmetic dominates.",
        "seconds = (weight bytes + KV bytes read) / (bandwidth x efficiency) + step overhead",
        _ROOFLINE,
    ),
    (
        ("KV cache", "kv", "key-value cache"),
        "KV cache",
        "Keys and values of every token that a sequence has seen, kept so that they need not be "
        "computed again. What memory is left for it decides how many sequences run at once. "
        "Sliding-window layers keep a window, MLA a compressed latent, linear attention a state "
        "of constant size.",
        "bytes a token = 2 x layers x KV heads x head size x bytes a value",
        "Llama-3.1-8B: 2 x 32 x 8 x 128 x 2 B = 128 KiB a token",
    ),
    (
        ("weights", "parameters"),
        "Weights",
        "The model's parameters in memory. Parameters times bytes each: 4 in fp32, 2 in bf16, "
        "1 in fp8, and about 4.16 bits with AWQ in groups of 128, whose embeddings and head stay "
        "at 16 bits.",
        "bytes = parameters x bits / 8, less what other ranks hold",
        "definitions of the formats; counted from the model's configuration",
    ),
    (
        ("active parameters", "moe", "mixture of experts"),
        "Active parameters",
        "What one token passes through. A mixture of experts holds many experts and sends each "
        "token to a few: its memory follows all parameters, its arithmetic the active ones. A "
        "step of many tokens reads nearly all experts.",
        "experts read = E x (1 - (1 - k / E)^tokens), with k of E experts a token",
        "expected distinct draws, experts taken as equally likely",
    ),
    (
        ("activation peak", "activations", "activation"),
        "Activation peak",
        "The most that intermediate values take at once, which the engine sets aside before it "
        "sizes the cache. It is the larger of the feed-forward blocks of a full prefill step and "
        "of the sampler's logits.",
        "max(c x (intermediate + hidden) x tokens, c' x vocabulary x sequences)",
        _VLLM,
    ),
    (
        ("runtime overhead", "runtime", "graph overhead", "cuda graphs", "non-torch"),
        "Runtime and graph overhead",
        "Memory that is neither weights, cache nor activations: the CUDA context, communication "
        "buffers, and captured graphs, which spare a step its launch time.",
        "",
        _VLLM,
    ),
    (
        ("gpu_memory_utilization", "memory utilisation", "gpu memory utilization"),
        "gpu_memory_utilization",
        "The share of an accelerator's memory that vLLM takes for all it holds; the cache gets "
        "what the other terms leave. 0.9 by default up to version 0.19, 0.92 from 0.22.",
        "KV = utilisation x total - weights - activation peak - non-torch",
        _VLLM,
    ),
    (
        ("utilisation", "utilization", "load"),
        "Utilisation",
        "The share of the capacity in use at the average rate. Queues grow without bound as it "
        "nears 1, and a p99 promise needs room long before.",
        "utilisation = arrival rate / highest rate the deployment can serve",
        "queueing theory; see Erlang-C",
    ),
    (
        ("roofline floor", "floor", "roofline"),
        "Roofline floor",
        "The time that no software can beat on this hardware: all bytes at full bandwidth or all "
        "arithmetic at its peak, whichever takes longer, with no overhead. A promise below it is "
        "refused, whatever the engine.",
        "floor = max(bytes / bandwidth, FLOP / peak FLOP/s)",
        _ROOFLINE,
    ),
    (
        ("efficiency", "calibration"),
        "Efficiency",
        "The part of an accelerator's peak that engines reach, one factor for each accelerator "
        "and number format, fitted to published measurements. What was left out of the fit gives "
        "the stated error.",
        "efficiency = floor / (measured - step overhead)",
        "published measurements; bench/plan_accuracy.py reports the errors",
    ),
    (
        ("stated error", "relative error", "error"),
        "Stated error",
        "How far off a prediction may be either way, measured on models and accelerators that "
        "were left out of the fit. pilotage prove --plan holds a measurement against it.",
        "median |predicted - measured| / measured",
        "bench/plan_accuracy.py",
    ),
    (
        ("tensor parallel", "TP", "tensor parallelism"),
        "Tensor parallelism (TP)",
        "Several accelerators share every layer: each holds a part of its weights and cache and "
        "all exchange results twice a layer. It shortens a step, costs interconnect time, and "
        "needs a number of attention heads that divides.",
        "all-reduce of n bytes over t: 2 x (t - 1) / t x n / link bandwidth",
        "Shoeybi et al.: Megatron-LM, 2019; ring all-reduce",
    ),
    (
        ("pipeline parallel", "PP", "pipeline parallelism"),
        "Pipeline parallelism (PP)",
        "Accelerators, or instances, hold consecutive layers and pass activations on. It makes "
        "room for a model; it does not shorten a request's way through it.",
        "",
        "Huang et al.: GPipe, 2019",
    ),
    (
        ("continuous batching", "batching"),
        "Continuous batching",
        "The engine puts a batch together anew for every step: finished sequences leave and "
        "waiting ones join without waiting for the others.",
        "",
        "Yu et al.: Orca, OSDI 2022",
    ),
    (
        ("chunked prefill", "max_num_batched_tokens", "token budget"),
        "Chunked prefill",
        "A long prompt is read in chunks that fit beside the decoding sequences, at most "
        "max_num_batched_tokens a step, so that it does not hold up their tokens. A larger budget "
        "gives shorter TTFT and a longer TPOT tail.",
        "steps of a prompt = ceil(prompt / (budget - decoding sequences))",
        "Agrawal et al.: Sarathi-Serve, OSDI 2024",
    ),
    (
        ("max_num_seqs", "sequences"),
        "max_num_seqs",
        "The most sequences that one copy of the model runs at once. Requests beyond it wait.",
        "",
        _VLLM,
    ),
    (
        ("quantisation", "quantization", "dtype", "precision", "awq", "fp8", "int8"),
        "Quantisation",
        "Weights in fewer bits: less memory, and faster decoding, because fewer bytes are read. "
        "Formats such as AWQ unpack to 16 bits before they multiply; fp8 and int8 multiply in "
        "units of their own where the accelerator has them. Quality must be checked on your own "
        "data.",
        "",
        "definitions of the formats; data sheets of the accelerators",
    ),
    (
        ("Erlang-C", "erlang c", "m/m/c", "queueing"),
        "Erlang-C",
        "The chance that a request must wait when c servers share one queue, for random arrivals "
        "and random service times. The plan uses it to cross-check its simulation.",
        "C = A^c/c! x c/(c-A) / (sum over k<c of A^k/k! + A^c/c! x c/(c-A)), A = rate x service",
        "A. K. Erlang, 1917; Kleinrock: Queueing Systems I, 1975",
    ),
    (
        ("simulation", "discrete-event simulation"),
        "Simulation",
        "Requests arrive, wait, are batched step by step and leave, as in the engine, with the "
        "step times of the roofline. The plan's percentiles are counted in it.",
        "",
        "pilotage.plan.simulate",
    ),
    (
        ("replica", "replicas"),
        "Replica",
        "One copy of the model with its own engine and cache, on one or more accelerators.",
        "",
        "",
    ),
    (
        ("autoscaling", "scaling"),
        "Autoscaling",
        "Instances come and go with the load. A new one must start and load the model first; "
        "until then a burst meets what runs already, which is why the plan simulates it.",
        "",
        "",
    ),
    (
        ("cold start", "start-up"),
        "Cold start",
        "From the wish for a new replica to its first answer: instance, image, weights, engine "
        "warm-up. It bounds what autoscaling and serverless hosting can promise.",
        "seconds = instance + image bytes / network + weight bytes / slowest link + warm-up",
        "",
    ),
    (
        ("on-demand", "on demand"),
        "On-demand instance",
        "Rented by the second at list price, without commitment, until you stop it.",
        "USD/month = instances x USD/hour x 730",
        "AWS EC2 prices with the date that the plan shows",
    ),
    (
        ("spot", "spot instance"),
        "Spot instance",
        "Spare capacity at a changing discount, which AWS takes back at two minutes' notice. It "
        "suits work that can be retried, and replicas beyond those that the promise needs.",
        "",
        "AWS EC2 documentation; the price history of your own account",
    ),
    (
        ("provisioned throughput", "model unit", "model units", "mu"),
        "Bedrock provisioned throughput",
        "Capacity for one model, rented by the hour in model units, alone or for one or six "
        "months. It pays where load is steady and high, and it is how Bedrock serves a fine-tuned "
        "model. What a unit carries and costs is between you and AWS: it is your input.",
        "USD/month = units x USD/hour x 730; units = ceil(peak tokens a minute / tokens a unit)",
        "AWS Bedrock documentation",
    ),
    (
        ("bedrock on-demand", "tokens price", "token price"),
        "Bedrock on-demand",
        "The provider runs the model and bills tokens. Nothing stands idle; account quotas bound "
        "the rate, and latency is not promised.",
        "USD/month = requests x (prompt x input price + output x output price)",
        "genai-prices (PyPI), with its date",
    ),
    (
        ("serverless", "sagemaker serverless"),
        "SageMaker serverless",
        "Billed by use, scales to zero, has no GPU, at most 6 GB of memory and 4 MB of payload.",
        "",
        "AWS SageMaker documentation",
    ),
    (
        ("asynchronous", "sagemaker async", "async"),
        "SageMaker asynchronous",
        "Requests wait in a queue and results land in S3: up to 1 GB and an hour each, scales to "
        "zero. For answers that nobody waits for.",
        "",
        "AWS SageMaker documentation",
    ),
    (
        ("idle waste", "idle"),
        "Idle waste",
        "The part of the bill that pays for capacity while it does nothing: the price of a "
        "promise that must hold at the peak.",
        "idle = capacity cost x (1 - utilisation)",
        "",
    ),
    (
        ("cost per million tokens", "million tokens", "usd per million tokens"),
        "Cost per million tokens",
        "The month's bill over the tokens of the month, prompt and output together, so that "
        "rented machines and token prices compare.",
        "USD/month / (rate x 2,628,000 s x mean tokens a request) x 1,000,000",
        "a month of 730 hours",
    ),
    (
        ("Pareto front", "pareto"),
        "Pareto front",
        "The options that no other beats in both cost and latency. The plan is the cheapest of "
        "those that keep the promise; the front shows what a faster one would cost.",
        "",
        "",
    ),
    (
        ("nearest miss", "shortfall"),
        "Nearest miss",
        "When nothing fits, the option that is least far off in what it misses most.",
        "shortfall = what it has or takes / what is allowed, the worst limit counting",
        "",
    ),
    (
        ("decision tree", "tree"),
        "Decision tree",
        "The rule of thumb: a standard model? steady above 100 requests a second? sporadic? in "
        "need of a GPU? The plan shows its answer, and overrules it where numbers do.",
        "",
        "the usual guidance for choosing AWS inference services",
    ),
    (
        ("budget", "usd_per_month"),
        "Budget",
        "The most that a deployment, or a portfolio of them, may cost in a month of 730 hours.",
        "",
        "the spec's budget section",
    ),
)
