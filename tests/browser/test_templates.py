"""Mailpact's own templates in a real Chromium, as a mail program shows them: light and dark, wide and on a phone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailpact.contracts import catalogue
from mailpact_consumer.template_folder import InstalledTemplates, load_templates

LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
LONG_NAME = "W" * 60
CONTRASTS = """() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const parsed = colour => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = element => {
        for (let each = element; each; each = each.parentElement) {
            const colour = parsed(getComputedStyle(each).backgroundColor);
            if (colour[3] === 255) return colour;
        }
        return matchMedia('(prefers-color-scheme: dark)').matches && document.querySelector('meta[name=color-scheme]')
            ? [18, 18, 18] : [255, 255, 255];
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
        const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
        if (!text || !element.getClientRects().length || !element.checkVisibility()) continue;
        const colour = getComputedStyle(element).color;
        const [dark, light] = [parsed(colour), behind(element)].map(luminance).sort((a, b) => a - b);
        found.push([text, (light + 0.05) / (dark + 0.05), colour]);
    }
    return found;
}"""


@pytest.fixture(scope="module")
def installed() -> InstalledTemplates:
    """Return Mailpact's own templates."""
    return load_templates(catalogue.load())


def mails(installed: InstalledTemplates) -> Iterator[tuple[str, str]]:
    """Yield each template in each of its languages, filled with its example, as name and HTML.

    Each template comes twice: the second time the site has a name of 60 letters without a space.
    """
    for place in installed.names:
        name, version, locale = place.split("/")
        contract = installed.contract(name, int(version))
        assert contract is not None
        for site_name in (contract.examples[0]["site_name"], LONG_NAME):
            filled = installed.fill(
                name, int(version), locale, {**contract.examples[0], "site_name": site_name}
            )
            yield f"{name}.{locale}{'.long' * (site_name == LONG_NAME)}", filled.content.html


@pytest.mark.parametrize("width", [600, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_template_can_be_read_and_asks_nobody_for_anything(
    browser: Any, installed: InstalledTemplates, tmp_path: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 640}, color_scheme=scheme)
    page = context.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))

    for name, html in mails(installed):
        page.set_content(html)
        texts = page.evaluate(CONTRASTS)
        picture = tmp_path / f"{name}-{width}-{scheme}.png"
        page.screenshot(path=picture, full_page=True)

        assert len(texts) >= 5, name
        assert [text for text in texts if text[1] < LEAST_CONTRAST] == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert _brightness(page) == scheme, name
    assert requests == []
    context.close()


def _brightness(page: Any) -> str:
    """Return whether the first visible text is dark on light, or light on dark."""
    colours = [text[2] for text in page.evaluate(CONTRASTS)]
    first = max(colours, key=colours.count)
    channels = [int(channel) for channel in first.removeprefix("rgb(").rstrip(")").split(",")[:3]]
    return "dark" if sum(channels) > 3 * 128 else "light"
