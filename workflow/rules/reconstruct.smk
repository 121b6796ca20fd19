# The steps of a shard: decode, reconstruct, mosaic, score.
#
# Memory (MB) suffices for photos of 12 megapixels; retries get more for larger ones. Time (minutes) is several times the
# measured one, and more at a retry. Both are limits on batch systems only.


rule preprocess:
    output:
        decoded=temp(directory("results/decoded/{shard}")),
        record="results/photos/{shard}.json",
    log:
        "results/logs/preprocess/{shard}.log",
    benchmark:
        "results/benchmarks/preprocess/{shard}.tsv"
    group:
        GROUP_ON_CPUS
    resources:
        inference=1,  # otherwise it runs far ahead, and decoded photos fill the disk
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: minutes(wildcards, 2) * attempt,
    params:
        scripts=SCRIPTS,
        code=code_of("preprocess"),
        plan=lambda wildcards: plan_path("preprocess", wildcards.shard),
        state=lambda wildcards: state_of(photos_in(wildcards.shard)),
    shell:
        "python {params.scripts:q}/preprocess.py {params.plan:q} --out {output.decoded:q} --record {output.record:q}"
        " > {log:q} 2>&1"


rule infer:
    input:
        decoded="results/decoded/{shard}",
        photos="results/photos/{shard}.json",
        # the hashes below change with the weights; their dates do not count
        weights=ancient([str(file.path) for file in MODEL.files]),
    output:
        demosaiced=temp(directory("results/demosaiced/{shard}")),
        timing="results/timing/{shard}.json",
    log:
        "results/logs/infer/{shard}.log",
    benchmark:
        "results/benchmarks/infer/{shard}.tsv"
    priority: 1  # finish started shards first
    group:
        GROUP_ON_CPUS
    threads: max((workflow.cores - 1) // MACHINE_GPUS, 1)  # leaves one to decode the next shard and write the last one
    resources:
        gpu=GPUS,
        inference=1,
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: minutes(wildcards, 0.5 if GPUS else 0.03)
        * attempt,
    params:
        scripts=SCRIPTS,
        code=code_of("infer"),
        model=CONFIG.model,
        device=CONFIG.device,
        precision=CONFIG.precision,
        samples=CONFIG.samples,
        hashes=weights_hashes(),
        profile=profile_hash(),
    shell:
        "python {params.scripts:q}/infer.py {input.decoded:q} --photos {input.photos:q} --out {output.demosaiced:q}"
        " --timing {output.timing:q} --model {params.model:q} --device {params.device:q}"
        " --precision {params.precision:q} --samples {params.samples:q}"
        " > {log:q} 2>&1"


rule mosaic:
    input:
        demosaiced="results/demosaiced/{shard}",
        photos="results/photos/{shard}.json",
        timing="results/timing/{shard}.json",
    output:
        # a tar, or a folder for each format
        raw=(
            [temp(SCORED) if OUTPUT else SCORED]
            if IN_TARS
            else [directory(place) for place in RAW_FOLDERS]
        ),
        record="results/written/{shard}.json",
    log:
        "results/logs/mosaic/{shard}.log",
    benchmark:
        "results/benchmarks/mosaic/{shard}.tsv"
    priority: 2
    group:
        GROUP
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: minutes(wildcards, 2) * attempt,
    params:
        scripts=SCRIPTS,
        code=code_of("mosaic"),
        profile=profile_hash(),
        plan=lambda wildcards: plan_path("mosaic", wildcards.shard),
        results=RESULTS,
    shell:
        "python {params.scripts:q}/mosaic.py {params.plan:q} {input.demosaiced:q} --photos {input.photos:q}"
        " --timing {input.timing:q} --out {output.raw:q} --results {params.results:q} --record {output.record:q}"
        " > {log:q} 2>&1"


rule evaluate:
    input:
        raw=SCORED,
        photos="results/photos/{shard}.json",
    output:
        scores="results/scores/{shard}.json",
    log:
        "results/logs/evaluate/{shard}.log",
    benchmark:
        "results/benchmarks/evaluate/{shard}.tsv"
    priority: 2
    group:
        GROUP
    threads: max(workflow.cores // 4, 1)  # the others infer the next shard
    resources:
        mem_mb=lambda wildcards, threads, attempt: 2000 * threads * attempt,
        runtime=lambda wildcards, attempt: minutes(wildcards, 0.2) * attempt,
    params:
        scripts=SCRIPTS,
        code=code_of("evaluate"),
        plan=lambda wildcards: plan_path("evaluate", wildcards.shard),
        state=lambda wildcards: state_of(
            photos_in(wildcards.shard)
            + ground_truth_in(wildcards.shard)
            + ground_truth_folders(wildcards.shard)
        ),
        profile=profile_hash(),
    shell:
        "python {params.scripts:q}/evaluate.py {params.plan:q} {input.raw:q} --photos {input.photos:q}"
        " --processes {threads:q} --out {output.scores:q} > {log:q} 2>&1"
