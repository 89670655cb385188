"""A finished run in a browser: its customers, their segments, and what if; ``bayes-clv app RUN_DIR`` shows it.

``browsing`` answers every question of the page as a plain function of the run; ``shown`` makes of its answers what a
browser takes; ``notebook`` is the page, a marimo app of which every cell shows one answer; ``serving`` starts it. The
page reads the run that it was started with, and takes no name of a file.
"""
