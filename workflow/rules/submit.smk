# The outputs of a run: the entry, its scores and the list of problems.


rule package:
    input:
        [] if OUTPUT else per_shard(ENTRY),
        per_shard("results/timing/{shard}.json"),
        per_shard("results/written/{shard}.json"),
    output:
        ["submission/submission.zip"] if ZIPPED else [],
        readme="submission/readme.txt",
    log:
        "results/logs/package.log",
    benchmark:
        "results/benchmarks/package.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: (10 + photos_at_most() // 50) * attempt,
    params:
        scripts=SCRIPTS,
        code=code_of("package"),
        listing=repr(MODEL),
        plan=plan_path("package"),
        results=RESULTS,
        submission=SUBMISSION,
    shell:
        "python {params.scripts:q}/package.py {params.plan:q} {params.results:q} --out {params.submission:q}"
        " > {log:q} 2>&1"


rule report:
    input:
        per_shard("results/photos/{shard}.json"),
        per_shard("results/timing/{shard}.json"),
        per_shard("results/written/{shard}.json"),
        per_shard("results/scores/{shard}.json"),
        [] if OUTPUT else per_shard(SCORED),
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
        provenance="submission/provenance.json",
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
    resources:
        mem_mb=lambda wildcards, attempt: (2000 + photos_at_most() // 20) * attempt,
        runtime=lambda wildcards, attempt: (10 + photos_at_most() // 500) * attempt,
    params:
        scripts=SCRIPTS,
        code=code_of("report"),
        listing=repr(MODEL),
        plan=plan_path("report"),
        results=RESULTS,
        submission=SUBMISSION,
    shell:
        "python {params.scripts:q}/report.py {params.plan:q} {params.results:q} --pictures {output.pictures:q}"
        " --out {params.submission:q} > {log:q} 2>&1"


# Fail after the summary is written if an image could not be used, so that the run ends with an error and the list.
rule check_problems:
    input:
        summary="submission/summary.json",
        text="submission/summary.txt",
    output:
        "results/problems.txt",
    log:
        "results/logs/check_problems.log",
    retries: 0
    localrule: True
    params:
        scripts=SCRIPTS,
        code=code_of("check_problems"),
    shell:
        "python {params.scripts:q}/check_problems.py {input.summary:q} {input.text:q} --out {output:q} > {log:q} 2>&1"
