"""Equations as MathML, made when the documentation is built: browsers need neither a script nor a network for them."""

import re

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)
converter = LatexToMathML(fancy_error=False)


def to_mathml(latex, *, block):
    """MathML of an equation; of a block, one element for each part between empty lines, aligned at its ``&``."""
    if not block:
        return converter.convert_with_local_state(latex, displaystyle=False)
    parts = [part for part in re.split(r"\n\s*\n", latex) if part.strip()]
    aligned = [rf"\begin{{aligned}}{part}\end{{aligned}}" if re.search(r"&|\\\\", part) else part for part in parts]
    return "".join(converter.convert_with_local_state(part, displaystyle=True) for part in aligned)


def _convert(node, *, block):
    try:
        return to_mathml(node.astext(), block=block)
    except LatexError as error:
        logger.warning("no MathML of %s: %s", node.astext(), error, location=node)
        return ""


def visit_math(translator, node):
    translator.body.append(translator.starttag(node, "span", "", CLASS="math"))
    translator.body.append(f"{_convert(node, block=False)}</span>")
    raise nodes.SkipNode


def visit_math_block(translator, node):
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})</span>')
    translator.body.append(f"{_convert(node, block=True)}</div>\n")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
