"""Writes the tree in ARCHITECTURE.md from the first line of each module's docstring.

python docs/house.py
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "ARCHITECTURE.md"
BEGIN, END = "<!-- tree: docs/house.py -->\n```\n", "```\n<!-- end of tree -->"


def tree() -> str:
    """Every module of the package with its sentence, folder by folder."""
    package = ROOT / "src" / "tinyscope"
    folders = [package, *sorted(entry for entry in package.iterdir() if entry.is_dir())]
    lines = ["src/tinyscope/"]
    for folder in folders:
        modules = sorted(folder.glob("*.py"))
        if not modules:
            continue
        indent = "  " if folder == package else "    "
        if folder != package:
            lines.append(f"  {folder.name}/")
        for module in modules:
            text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
            if text:
                lines.append(f"{indent}{module.name:<{32 - len(indent)}}{text.splitlines()[0]}")
    return "\n".join(lines) + "\n"


def with_tree(page: str) -> str:
    """The page with its tree as the code is now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + tree() + END + after


if __name__ == "__main__":
    PAGE.write_text(with_tree(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
