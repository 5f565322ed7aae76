"""What stands at the bottom of the terminal: our waiting lines, the input, the toolbar.

Only where things stand and how much room they get, down to very small terminals. What the toolbar
says is the console's to know.
"""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    VerticalAlign,
    Window,
)
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style
from prompt_toolkit.widgets import SearchToolbar

from socketchat.cli.console_sending import Line
from socketchat.cli.render import Row, pending_row
from socketchat.text import clip, width

__all__ = ["PENDING_ROWS", "PROMPT", "STYLE", "make_layout"]

PROMPT = ">> "
#: Rows of our own lines above the input, at most.
PENDING_ROWS = 5
#: A terminal with fewer rows gets no toolbar.
_LEAST_ROWS = 4

STYLE = Style.from_dict(
    {
        "time": "ansibrightblack",
        "pending": "ansibrightblack",
        "sent": "ansibrightblack",
        "failed": "ansired bold",
        "prompt": "bold",
        "mention": "reverse bold",
        "rule": "ansibrightblack",
        "rule.new": "ansired",
        "rule.gap": "ansired bold",
        "completion": "ansibrightblack",
        "completion.current": "reverse",
        "toolbar": "ansibrightblack",
        "toolbar.room": "bold",
        "toolbar.called": "bold",
        "toolbar.offline": "ansired bold",
    }
)


def make_layout(
    buffer: Buffer,
    output: Output,
    *,
    pending: Callable[[], list[Line]],
    toolbar: Callable[[], Row],
) -> Layout:
    """Put the bottom of the terminal together.

    Args:
        buffer: What is typed.
        output: The terminal, for its size.
        pending: Gives our own lines that are not acknowledged, oldest first.
        toolbar: Gives the last row.
    """
    search = SearchToolbar()
    typed = Window(
        BufferControl(buffer, search_buffer_control=search.control, preview_search=True),
        get_line_prefix=_prefix,
        height=lambda: Dimension(min=1, max=max(1, output.get_size().rows // 2)),
        wrap_lines=True,
        dont_extend_height=True,
    )
    waiting = Window(
        FormattedTextControl(lambda: _pending_text(pending(), output)),
        height=Dimension(min=0, max=PENDING_ROWS),
        dont_extend_height=True,
    )
    last = Window(FormattedTextControl(lambda: FormattedText(toolbar())), height=1)
    candidates = Window(FormattedTextControl(lambda: _candidates(buffer, output)), height=1)
    return Layout(
        HSplit(
            [
                ConditionalContainer(waiting, Condition(lambda: bool(pending()))),
                typed,
                search,
                ConditionalContainer(candidates, Condition(lambda: _has_choice(buffer))),
                ConditionalContainer(
                    last,
                    Condition(
                        lambda: output.get_size().rows >= _LEAST_ROWS and not _has_choice(buffer)
                    ),
                ),
            ],
            # What a frame that has become smaller leaves over stands below it.
            align=VerticalAlign.TOP,
        ),
        focused_element=typed,
    )


def _has_choice(buffer: Buffer) -> bool:
    """Tell whether Tab goes through more than one candidate."""
    state = buffer.complete_state
    return state is not None and len(state.completions) > 1


def _candidates(buffer: Buffer, output: Output) -> FormattedText:
    """List the candidates for what is completed, from the current one on, in one row."""
    state = buffer.complete_state
    assert state is not None
    current = state.complete_index or 0
    names = [completion.display_text for completion in state.completions]
    free = output.get_size().columns - 1
    # From the first on, if there is room up to the current one; else from that one on.
    first = 0 if sum(width(name) + 2 for name in names[: current + 1]) <= free else current
    text: Row = []
    for index, name in enumerate(names[first:], first):
        if text and width(name) + (2 if index < len(names) - 1 else 0) > free:
            text.append(("class:completion", "…"))
            break
        shown = clip(name, max(free, 1))
        style = "class:completion.current" if index == current else "class:completion"
        text += [(style, shown), ("", "  ")]
        free -= width(shown) + 2
    return FormattedText(text)


def _pending_text(lines: list[Line], output: Output) -> FormattedText:
    size = output.get_size()
    most = max(1, min(PENDING_ROWS, size.rows - _LEAST_ROWS))
    more = len(lines) - most + 1 if len(lines) > most else 0
    text: Row = [("class:pending", f"… {more} more")] if more else []
    for line in lines[more:]:
        text += [("", "\n")] if text else []
        shown = f"→ {line.to}: {line.text}" if line.to else line.text
        text += pending_row(shown, size.columns, is_held=line.held)
    return FormattedText(text)


def _prefix(line: int, wrapped: int) -> FormattedText:
    start = PROMPT if line == 0 and wrapped == 0 else " " * len(PROMPT)
    return FormattedText([("class:prompt", start)])
