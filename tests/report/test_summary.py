from dataclasses import replace

from omf.models.registry import find_model
from omf.report.summary import entry_readme, scores_text, step_seconds, total_timing

JOBS = [
    {"images": images, "seconds": seconds, "megapixels": 1.0, "device": device, "cpu": device == "CPU"}
    for images, seconds, device in ((1, 4.5, "CPU"), (2, 1.5, "GPU"), (0, 0.0, "GPU"))
]


def test_the_time_per_image():
    timing = total_timing(JOBS)
    assert (timing["images"], timing["seconds"], timing["megapixels"]) == (3, 6.0, 3.0)
    assert (timing["seconds_per_image"], timing["device"], timing["cpu"]) == (2.0, "CPU + GPU", True)
    assert total_timing(JOBS[:1])["seconds_per_image"] == 4.5
    alone = total_timing(JOBS[2:])
    assert (alone["seconds_per_image"], alone["cpu"]) == (0.0, False)


def test_the_files_that_the_scorer_reads_and_writes():
    model = replace(find_model("samsung_s7"), extra_data=False)
    readme = entry_readme(model, total_timing(JOBS) | {"seconds_per_image": 1.23456})
    assert readme.splitlines() == [
        "runtime per image [s] : 1.2346",
        "CPU[1] / GPU[0] : 1",
        "Extra Data [1] / No Extra Data [0] : 0",
        "Other description : Overexposure Mask Fusion, model samsung_s7, CPU + GPU",
    ]
    assert scores_text({"psnr": 28.5, "ssim": 0.8}, readme) == (
        "PSNR:28.5\nSSIM:0.8\nExtraRuntime:1.2346\nExtraPlatform:1\nExtraData:0\n"
    )


def test_step_times_from_benchmark_tables(tmp_path):
    seconds = {"infer/a": 1.5, "infer/b": 2, "infer/from_an_earlier_run": 9, "mosaic/a": 4}
    for path, value in seconds.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / f"{path}.tsv").write_text(f"s\th:m:s\n{value}\t0:00:01\n")
    assert step_seconds(tmp_path, ["a", "b"]) == {"infer": 3.5, "mosaic": 4}
    assert step_seconds(tmp_path / "nothing", ["a"]) == {}
