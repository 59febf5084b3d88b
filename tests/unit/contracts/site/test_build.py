"""The error message when Sphinx is not installed."""

import pytest

from mailpact_contract_tool.site import build
from mailpact_contract_tool.site.build import SiteError, refuse_without_sphinx


def test_without_the_extra_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(build, "_NEEDED", ("sphinx", "a_theme_that_nobody_made"))

    with pytest.raises(SiteError, match=r"needs a_theme_that_nobody_made, .* pip install 'mailpact\[docs\]'"):
        refuse_without_sphinx()
