"""Eight lessons for a class: marimo notebooks that need no fit, no network and, once prepared, no compiling.

``uv run --group lessons python -m studies.lessons`` runs all of them and writes a page of each, with its outputs, to a
folder; it also leaves compiled what they use, so that a teacher calls it once before the class. One lesson as an app,
with sliders that move: ``uv run --group lessons marimo run studies/lessons/lesson_0_five_questions.py``; ``marimo
edit`` shows the code beside.

Numbers come from the families' own functions at published parameters (``by_hand``), from draws of one posterior
(``draws``) or from worlds that a script has fitted (``worlds``); no formula is written a second time. The pages are our
own (``handout``): those of ``marimo export html`` load 100 files from a CDN, and a browser refuses them from a folder.
"""
