"""How the site is built: `python -m sphinx -W --keep-going -n docs build/docs`.

Pages are Markdown (MyST); the library's reference comes from its docstrings, the command's from
click. Why Sphinx, and not another generator, is told in `contributing.md`.
"""

from importlib.metadata import version as version_of

project = "socketchat"
author = "the authors of socketchat"
release = version = version_of("socketchat")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
exclude_patterns = ["conformance", "vectors"]

# Pages are read on GitHub too, whose anchors these are.
myst_heading_anchors = 4
# `name` in a docstring is code, as in Markdown: not everything so written has a page to link to.
default_role = "code"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Links lead to what is on this site. Types of others, and those of ours that signatures name
# alone, have no page here, so that a build needs no network; a name that is in neither is a
# warning.
_OTHERS = (
    r"(_?asyncio|collections|concurrent|datetime|logging|pathlib|random|socket|sqlite3|ssl)\..+"
)
_SHORT = r"Path|datetime|Ed25519PrivateKey|Host|Trust|Opening|OptionArgs"
_OURS = (
    r"socketchat\.(awaiting\.Opening|link\.Stream(Reader|Writer)Like|logged\.LogPlace"
    r"|messages\.Hello|options\.OptionArgs|outbox\.(MemoryOutbox|Outgoing)|peers\.Prover"
    r"|chat\.(registry\.Registry|server\.Invites|neighbours\.Neighbours))"
)
nitpick_ignore_regex = [("py:class", each) for each in (_OTHERS, _SHORT, _OURS)]

html_theme = "furo"
html_title = f"socketchat {version}"
html_copy_source = False
html_show_sphinx = False
