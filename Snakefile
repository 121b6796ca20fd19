# From sRGB photos to a challenge entry in submission/. Run it with ./test, or snakemake --cores all


configfile: workflow.source_path("config.yaml")


# only with --sdm apptainer; see containers/
container: f"{workflow.basedir}/containers/omf.sif"


include: "workflow/rules/common.smk"


rule all:
    default_target: True
    input:
        "submission/readme.txt",  # with the RAW files and their zip
        "submission/summary.txt",
        "results/problems.txt",


include: "workflow/rules/weights.smk"
include: "workflow/rules/reconstruct.smk"
include: "workflow/rules/submit.smk"
include: "workflow/rules/train.smk"


# after an error, check_problems has printed it
onsuccess:
    print_summary()
