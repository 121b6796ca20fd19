# `snakemake --cores all train`: train a model, network by network; an interrupted training resumes.


rule settings:
    output:
        f"{RUN}/settings.json",
    log:
        "results/logs/train/settings.log",
    localrule: True
    params:
        scripts=SCRIPTS,
        plan=plan_path("settings"),
    shell:
        "python {params.scripts:q}/settings.py {params.plan:q} --out {output:q} > {log:q} 2>&1"


# The weights are no output, since Snakemake removes outputs before a job: a stage itself knows which settings
# concern it and what it has finished.
rule train_network:
    input:
        stage_before,
        settings=f"{RUN}/settings.json",
    output:
        touch(f"{RUN}/{{stage}}.done"),
    log:
        "results/logs/train/{stage}.log",
    benchmark:
        "results/benchmarks/train/{stage}.tsv"
    threads: workflow.cores
    resources:
        gpu=GPUS and TRAINING.num_gpus,
        # on Slurm: one task, in which torchrun starts the processes, with all GPUs on one node
        tasks_per_gpu=0,
        nodes=1,
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=24 * 60,  # the next attempt resumes
    params:
        scripts=SCRIPTS,
        device=CONFIG.device,
        python=(
            ["torchrun", "--standalone", "--nproc-per-node", str(TRAINING.num_gpus)]
            if TRAINING.num_gpus > 1
            else ["python"]
        ),
    shell:
        "{params.python:q} {params.scripts:q}/train.py {wildcards.stage:q} --settings {input.settings:q}"
        " --device {params.device:q} 2>&1 | tee {log:q} >&2"


rule register_model:
    input:
        expand(f"{RUN}/{{stage}}.done", stage=TRAINING.stages),
        settings=f"{RUN}/settings.json",
    output:
        str(user_folder(MODELS) / TRAINING.name / "README.md"),
    log:
        "results/logs/train/register_model.log",
    localrule: True
    params:
        scripts=SCRIPTS,
    shell:
        "python {params.scripts:q}/register_model.py --settings {input.settings:q} 2>&1 | tee {log:q} >&2"


rule train:
    input:
        rules.register_model.output,
