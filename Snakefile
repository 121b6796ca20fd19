# From sRGB photos to a challenge entry in submission/. Run it with ./test, or snakemake --cores all


include: "workflow/Snakefile"


# Snakemake forgets the default target of an included file.
if not IN_MODULE:
    workflow.default_target = "all"
