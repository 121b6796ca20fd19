"""Create docs/app.jpg, a screenshot of the app with its first example, for the README.

Needs gradio, playwright and Chromium. Start the app first: omf app

python tools/make_app_picture.py
"""

from pictures import WINDOW, open_tab, save, take_screenshot

URL = "http://127.0.0.1:7860/"
PATIENCE = 60_000  # ms


def main() -> None:
    with open_tab(URL) as tab:
        tab.locator("#examples button img").first.click()
        tab.locator("#facts table").wait_for(timeout=PATIENCE)
        tab.wait_for_timeout(3000)  # for the pictures
        picture = take_screenshot(tab, full_page=True)
    save(picture, "app.jpg", (WINDOW["width"] * 3 // 4, picture.height * 3 // 4))


if __name__ == "__main__":
    main()
