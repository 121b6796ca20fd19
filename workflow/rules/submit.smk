# What a run leaves: the entry, its scores, and the list of what could not be done.
# Jobs are told the shards' names, not paths: thousands of them fit on a command line.

# where the files of the entry are: those that are scored, or those of another format
ENTRY = ("raw", "files")[len(FORMATS) - 1]


rule package:
    input:
        per_shard(f"results/{ENTRY}/{{shard}}"),
        per_shard("results/timing/{shard}.json"),
    output:
        ["submission/submission.zip"] if ENTRY == "raw" else [],
        readme="submission/readme.txt",
    log:
        "results/logs/package.log",
    benchmark:
        "results/benchmarks/package.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: (10 + len(PHOTOS) // 50) * attempt,
    params:
        scripts=SCRIPTS,
        code=code_of("package"),
        shards=list(SHARDS),
        model=config["model"],
        listing=repr(MODEL),
        entry=ENTRY,
    shell:
        "python {params.scripts:q}/package.py results --entry {params.entry} --shards {params.shards}"
        " --model {params.model:q} --out submission > {log} 2>&1"


rule report:
    input:
        per_shard("results/photos/{shard}.json"),
        per_shard("results/timing/{shard}.json"),
        per_shard("results/written/{shard}.json"),
        per_shard("results/scores/{shard}.json"),
        per_shard("results/raw/{shard}"),
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
        mem_mb=lambda wildcards, attempt: (2000 + len(PHOTOS) // 20) * attempt,
        runtime=lambda wildcards, attempt: (10 + len(PHOTOS) // 500) * attempt,
    params:
        scripts=SCRIPTS,
        code=code_of("report"),
        shards=list(SHARDS),
        model=config["model"],
        listing=repr(MODEL),
        problems=json.dumps(NAMELESS),
        config=json.dumps(
            {name: value for name, value in config.items() if name != "training"}
        ),
    shell:
        "python {params.scripts:q}/report.py results --shards {params.shards} --model {params.model:q}"
        " --config {params.config:q} --problems {params.problems:q} --pictures {output.pictures} --out submission > {log} 2>&1"


# Fails if an image could not be used, once the summary is written: so the run ends with an error and the list.
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
        "python {params.scripts:q}/check_problems.py {input.summary} {input.text} --out {output} > {log} 2>&1"
