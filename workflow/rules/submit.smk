# What a run leaves: the entry, its scores, and the list of what could not be done.


rule package:
    input:
        raws=per_shard("results/raw/{shard}"),
        timings=per_shard("results/timing/{shard}.json"),
    output:
        "submission/submission.zip",
        "submission/readme.txt",
    log:
        "results/logs/package.log",
    benchmark:
        "results/benchmarks/package.tsv"
    params:
        scripts=SCRIPTS,
        model=config["model"],
    shell:
        "python {params.scripts:q}/package.py --raws {input.raws} --timings {input.timings}"
        " --model {params.model:q} --out submission > {log} 2>&1"


rule report:
    input:
        scores=per_shard("results/scores/{shard}.json"),
        timings=per_shard("results/timing/{shard}.json"),
        problems=per_shard("results/problems/{shard}.json"),
    output:
        scores="submission/scores.json",
        summary="submission/summary.json",
        text="submission/summary.txt",
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    params:
        scripts=SCRIPTS,
        model=config["model"],
    shell:
        "python {params.scripts:q}/report.py --scores {input.scores} --timings {input.timings} --problems {input.problems}"
        " --model {params.model:q} --out submission > {log} 2>&1"


# Fails if an image could not be used, once the summary is written: so the run ends with an error and the list.
rule verdict:
    input:
        summary="submission/summary.json",
        text="submission/summary.txt",
    output:
        "results/verdict.txt",
    log:
        "results/logs/verdict.log",
    params:
        scripts=SCRIPTS,
    shell:
        "python {params.scripts:q}/verdict.py {input.summary} {input.text} --out {output} > {log} 2>&1"
