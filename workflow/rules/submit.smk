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
        raws=per_shard("results/raw/{shard}"),
        code=sources("summary", "report", "pictures", "plots", "templates/report.html"),
    output:
        page=report(
            "submission/report.html",
            caption="../report/page.rst",
            category="Summary",
            labels={"what": "page"},
        ),
        table=report(
            "submission/scores.csv",
            caption="../report/table.rst",
            category="Summary",
            labels={"what": "table of all images"},
        ),
        scores="submission/scores.json",
        summary="submission/summary.json",
        text="submission/summary.txt",
        pictures=report(
            directory("results/report"),
            patterns=["{kind}_{name}.jpg", "{kind}_{name}.svg"],
            caption="../report/pictures.rst",
            category="Pictures",
            subcategory="{kind}",
            labels={"what": "{name}"},
        ),
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    params:
        scripts=SCRIPTS,
        model=config["model"],
        benchmarks="results/benchmarks",
    shell:
        "python {params.scripts:q}/report.py --scores {input.scores} --timings {input.timings} --problems {input.problems}"
        " --benchmarks {params.benchmarks} --model {params.model:q} --pictures {output.pictures} --out submission > {log} 2>&1"


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
