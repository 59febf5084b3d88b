"""Every text is readable in light and in dark mode: WCAG 2.2 requires a contrast of 4.5 to 1 (AA)."""

import re
from importlib import resources

import pytest

STYLE = (resources.files("mailpact.web") / "static" / "style.css").read_text()
LIGHT, DARK = (
    dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
    for block in STYLE.split("@media (prefers-color-scheme: dark)")[:2]
)
TEXT_ON = [
    *(("ink", ground) for ground in ("paper", "surface", "sunken", "accent-wash", "bad-wash")),
    *(("soft", ground) for ground in ("paper", "surface", "sunken", "accent-wash")),
    *(("accent", ground) for ground in ("paper", "surface")),
    *(("bad", ground) for ground in ("paper", "surface")),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
]


def luminance(color: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.2)."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT_ON)
def test_text_stands_out_from_its_ground(colors: dict[str, str], text: str, ground: str) -> None:
    lighter, darker = sorted((luminance(colors[text]), luminance(colors[ground])), reverse=True)

    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
