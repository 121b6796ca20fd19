# Weights that a model of models.yaml has an address for are downloaded when they are missing.

for branch, file in (("oe", MODEL.oe), ("noe", MODEL.noe)):
    if file and file.url:

        rule:
            name:
                f"fetch_{branch}"
            output:
                str(file.path),
            log:
                f"results/logs/fetch/{branch}.log",
            # the network is rarely reached from compute nodes
            localrule: True
            params:
                model=MODEL.name,
                branch=branch,
                scripts=SCRIPTS,
            shell:
                "python {params.scripts:q}/fetch.py {params.model:q} {params.branch} 2>&1 | tee {log}"
