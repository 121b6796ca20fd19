# Download missing weights of a model that are listed with a URL.

for branch, file in (("oe", MODEL.oe), ("noe", MODEL.noe), ("base", MODEL.base)):
    if file and file.url:

        rule:
            name:
                f"fetch_{branch}"
            output:
                str(file.path),
            log:
                f"results/logs/fetch/{branch}.log",
            # compute nodes rarely reach the network
            localrule: True
            params:
                model=MODEL.name,
                branch=branch,
                scripts=SCRIPTS,
            shell:
                "python {params.scripts:q}/fetch.py {params.model:q} {params.branch:q} 2>&1 | tee {log:q}"
