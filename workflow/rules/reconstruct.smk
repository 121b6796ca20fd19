# The way of a shard of images: decode, reconstruct, mosaic, score.
#
# Memory (MB) suffices for photos of 12 megapixels; more is needed for larger ones, and a retry gets it. Time (minutes) is
# for batch systems, several times what was measured, and more at a retry. Both are limits there, and nothing elsewhere.


rule preprocess:
    output:
        decoded=temp(directory("results/decoded/{shard}")),
        record="results/photos/{shard}.json",
    log:
        "results/logs/preprocess/{shard}.log",
    benchmark:
        "results/benchmarks/preprocess/{shard}.tsv"
    resources:
        inference=1,  # else it runs far ahead, and what is decoded fills the disk
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: minutes(wildcards, 2) * attempt,
    params:
        scripts=SCRIPTS,
        code=code_of("preprocess"),
        photos=lambda wildcards: photos_in(wildcards.shard),
        state=lambda wildcards: state_of(photos_in(wildcards.shard)),
    shell:
        "python {params.scripts:q}/preprocess.py --out {output.decoded} --record {output.record}"
        " -- {params.photos:q} > {log} 2>&1"


rule infer:
    input:
        decoded="results/decoded/{shard}",
        # the hashes below tell when the weights change; their dates do not
        weights=ancient([str(file.path) for file in MODEL.files]),
    output:
        demosaiced=temp(directory("results/demosaiced/{shard}")),
        timing="results/timing/{shard}.json",
    log:
        "results/logs/infer/{shard}.log",
    benchmark:
        "results/benchmarks/infer/{shard}.tsv"
    priority: 1  # what is begun is ended first
    threads: max(workflow.cores - 1, 1)  # the next shard is decoded, or the last one written, meanwhile
    resources:
        gpu=GPUS,
        inference=1,
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: minutes(wildcards, 0.5 if GPUS else 0.03)
        * attempt,
    params:
        scripts=SCRIPTS,
        code=code_of("infer"),
        model=config["model"],
        device=config["device"],
        precision=config["precision"],
        hashes=weights_hashes(),
        profile=profile_hash() if MODEL.method == "unprocess" else "",
    shell:
        "python {params.scripts:q}/infer.py {input.decoded} --out {output.demosaiced} --timing {output.timing}"
        " --model {params.model:q} --device {params.device} --precision {params.precision} > {log} 2>&1"


rule mosaic:
    input:
        demosaiced="results/demosaiced/{shard}",
    output:
        folders=[
            directory(f"results/{place}/{{shard}}")
            for place in ("raw", "files")[: len(FORMATS)]
        ],
        record="results/written/{shard}.json",
    log:
        "results/logs/mosaic/{shard}.log",
    benchmark:
        "results/benchmarks/mosaic/{shard}.tsv"
    priority: 2
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: minutes(wildcards, 2) * attempt,
    params:
        scripts=SCRIPTS,
        code=code_of("mosaic"),
        formats=json.dumps([asdict(of) for of in FORMATS]),
        camera=MODEL.camera,
        profile=profile_hash(),
        model=Path(MODEL.name).name,
        photos=lambda wildcards: photos_in(wildcards.shard),
    shell:
        "python {params.scripts:q}/mosaic.py {input.demosaiced} --out {output.folders} --record {output.record} --formats {params.formats:q}"
        " --camera {params.camera:q} --model {params.model:q} --photos {params.photos:q} > {log} 2>&1"


rule evaluate:
    input:
        raw="results/raw/{shard}",
    output:
        scores="results/scores/{shard}.json",
    log:
        "results/logs/evaluate/{shard}.log",
    benchmark:
        "results/benchmarks/evaluate/{shard}.tsv"
    priority: 2
    threads: max(workflow.cores // 4, 1)  # of a few; the next shard is being computed
    resources:
        mem_mb=lambda wildcards, threads, attempt: 2000 * threads * attempt,
        runtime=lambda wildcards, attempt: minutes(wildcards, 0.2) * attempt,
    params:
        scripts=SCRIPTS,
        code=code_of("evaluate"),
        photos=lambda wildcards: photos_in(wildcards.shard),
        truths=lambda wildcards: truths_in(wildcards.shard),
        state=lambda wildcards: state_of(
            photos_in(wildcards.shard) + truths_in(wildcards.shard)
        ),
        camera=MODEL.camera,
        profile=profile_hash(),
        white=AS_SCORED.white_level,
    shell:
        "python {params.scripts:q}/evaluate.py {input.raw} --truths {params.truths:q} --photos {params.photos:q}"
        " --camera {params.camera:q} --white-level {params.white} --processes {threads} --out {output.scores} > {log} 2>&1"
