from omf.report.summary import readme_text, scores_text


def test_the_readme_has_the_four_lines_that_the_scorer_reads():
    text = readme_text(1.23456, on_cpu=True, extra_data=False, description="a: b")
    assert text.splitlines() == [
        "runtime per image [s] : 1.2346",
        "CPU[1] / GPU[0] : 1",
        "Extra Data [1] / No Extra Data [0] : 0",
        "Other description : a: b",
    ]


def test_scores_txt_has_the_scorers_format():
    readme = readme_text(1.23456, on_cpu=True, extra_data=False, description="a: b")
    assert (
        scores_text(28.5, 0.8, readme)
        == "PSNR:28.5\nSSIM:0.8\nExtraRuntime:1.2346\nExtraPlatform:1\nExtraData:0\n"
    )
