# Dark where the screen is, as the report is; marimo's own default is light.
# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""The page of ``bayes-clv app``: cells that show what ``browsing`` answers; no formula and no file name is here."""

import marimo

app = marimo.App(width="medium", app_title="bayes_clv", css_file="notebook.css")


@app.cell
def _():
    import marimo as mo

    from bayes_clv.app import browsing, shown
    from bayes_clv.schema import InputError
    from bayes_clv.valuation.channels import compare_channels
    from bayes_clv.views import plot_channels, plot_payback, plot_scenarios, plot_segment_sizes, table
    from bayes_clv.views.reporting.scenarios import scenario_sentence
    from bayes_clv.workflows.acquiring import channels_summary
    from bayes_clv.workflows.segmenting import segment_summary

    return (
        InputError,
        browsing,
        channels_summary,
        compare_channels,
        mo,
        plot_channels,
        plot_payback,
        plot_scenarios,
        plot_segment_sizes,
        scenario_sentence,
        segment_summary,
        shown,
        table,
    )


@app.cell
def _(browsing, mo, shown):
    given = mo.cli_args()
    opened = browsing.open_run(str(given.get("run")), given.get("draws"))

    def said(*lines):
        return mo.Html(shown.paragraphs(lines))

    def trouble(error):
        return mo.callout(said(str(error)), kind="warn")

    def browsed(frame):
        return mo.ui.table(
            frame, selection=None, show_column_summaries=False, show_data_types=False, show_download=False
        )

    return browsed, opened, said, trouble


@app.cell
def _(mo, opened, said, shown):
    failed = opened.run.failed
    head = shown.paragraphs([f"Customers of {opened.name}"], "h1")
    lead = said(
        f"{opened.people:,} customers, the next {opened.ahead}; intervals hold 90 %. Segments and scenarios are of "
        f"{opened.draws} posterior draws."
    )
    count = f"{len(failed)} check{'s'[: len(failed) > 1]} of the run failed: its report says what that means"
    checks = (
        mo.callout(mo.accordion({shown.label(count): said(*failed)}), kind="warn")
        if failed
        else said("All checks of the run passed.")
    )
    tab = mo.ui.radio(["Customers", "Segments", "What if", "Channels"], value="Customers", inline=True)
    mo.vstack([mo.Html(head), lead, checks, tab])
    return (tab,)


@app.cell
def _(mo, tab):
    mo.stop(tab.value != "Customers")
    where = mo.ui.text(
        label="Customers of whom (empty: all)",
        placeholder="worth > 100 and frequency >= 2",
        full_width=True,
    )
    where
    return (where,)


@app.cell
def _(InputError, browsing, mo, opened, said, shown, trouble, where):
    try:
        chosen = browsing.customers_where(opened, where.value)
        wrong = None
    except InputError as error:
        chosen, wrong = opened.listed, trouble(error)
    people = mo.ui.table(
        chosen,
        selection="single",
        page_size=6,
        show_column_summaries=False,
        show_data_types=False,
        show_download=False,
        freeze_columns_left=["customer"],
    )
    saved = mo.download(
        lambda: shown.csv_bytes(chosen), filename="customers.csv", label="Download these as CSV"
    )
    mo.vstack(
        [
            *([] if wrong is None else [wrong]),
            said(
                f"{len(chosen):,} of {opened.people:,} customers, {opened.ordered} first. Choose one to see its "
                "history and future; the glass above the table searches it."
            ),
            people,
            saved,
        ]
    )
    return (people,)


@app.cell
def _(browsing, mo, opened, people, said, shown):
    mo.stop(len(people.value) == 0)
    name = str(people.value["customer"].iloc[0])
    one = browsing.one_customer(opened, name)
    mo.vstack(
        [
            mo.Html(shown.paragraphs([f"Customer {name}"], "h2")),
            said(*one.words),
            mo.Html(shown.picture(one.future, f"Future of customer {name}: {one.words[1]}")),
            said(one.why)
            if one.history is None
            else mo.Html(shown.picture(one.history, f"History of customer {name}: {one.words[0]}")),
        ]
    )
    return


@app.cell
def _(browsing, mo, tab):
    mo.stop(tab.value != "Segments")
    preset = mo.ui.dropdown([*browsing.RULES, "A rule of your own"], value="Lifecycle", label="Rule")
    preset
    return (preset,)


@app.cell
def _(browsing, mo, preset):
    written = mo.ui.text_area(
        value=browsing.OWN_RULE, rows=16, full_width=True, label="The rule, as a file of 'bayes-clv segment'"
    ).form(submit_button_label="Sort by it")
    own = preset.value not in browsing.RULES
    written if own else None
    return own, written


@app.cell
def _(
    InputError,
    browsed,
    browsing,
    mo,
    opened,
    own,
    plot_segment_sizes,
    preset,
    said,
    segment_summary,
    shown,
    table,
    trouble,
    written,
):
    def _segmented():
        rule = (written.value or browsing.OWN_RULE) if own else preset.value
        try:
            found = browsing.segments_of(opened, rule)
        except InputError as error:
            return trouble(error)
        money = opened.with_money
        earned = browsing.earned_words(opened)
        rows = table(found, by="segment").round(2)
        lists = table(found, by="customer")
        return mo.vstack(
            [
                said(
                    *shown.unlisted(
                        segment_summary(found, file="the table below", earned=earned, lists=browsing.LISTS)
                    )
                ),
                mo.Html(
                    shown.picture(
                        plot_segment_sizes(found), "How many customers are in each segment, with 90 %"
                    )
                ),
                mo.Html(
                    shown.picture(
                        plot_segment_sizes(found, quantity="value" if money else "purchases"),
                        "What each segment brings, with 90 %",
                    )
                ),
                browsed(rows),
                mo.download(
                    lambda: shown.csv_bytes(lists),
                    filename="segments.csv",
                    label="Download customers as CSV",
                ),
            ]
        )

    _segmented()
    return


@app.cell
def _(browsing, mo, opened, said, tab):
    mo.stop(tab.value != "What if")
    mo.stop(
        not opened.with_money,
        said("The run is of purchases alone, and scenarios are of money. Run again with amounts."),
    )
    allowed = browsing.can_change(opened)

    def _slider(name):
        words = name.replace("_", " ")
        if name in browsing.CHANGES:
            return mo.ui.slider(-50, 50, 1, value=0, debounce=True, label=f"{words}, % more", show_value=True)
        if name == "margin":
            return mo.ui.slider(
                0,
                max(1.0, browsing.at_rest(opened, name)),
                0.01,
                value=browsing.at_rest(opened, name),
                debounce=True,
                label="margin",
                show_value=True,
            )
        rest = browsing.at_rest(opened, name)
        most = max(browsing.dearest(opened), 2 * rest)
        return mo.ui.slider(0, most, most / 50, value=rest, debounce=True, label=words, show_value=True)

    sliders = mo.ui.dictionary({name: _slider(name) for name in allowed})
    whom = mo.ui.text(
        label="For whom (empty: everybody)",
        placeholder="frequency >= 1 and probability_alive > 0.5",
        full_width=True,
    )
    mo.vstack([mo.hstack(list(sliders.elements.values()), wrap=True, justify="start", gap=1.5), whom])
    return sliders, whom


@app.cell
def _(
    InputError,
    browsed,
    browsing,
    mo,
    opened,
    plot_scenarios,
    said,
    scenario_sentence,
    shown,
    sliders,
    table,
    trouble,
    whom,
):
    def _compared():
        levers = {
            name: value / 100 if name in browsing.CHANGES else value for name, value in sliders.value.items()
        }
        try:
            found = browsing.what_if(opened, levers, whom.value)
        except InputError as error:
            return trouble(error)
        error = float(found["value_difference_error"][-1])
        rows = browsing.totals_of(found)
        return mo.vstack(
            [
                mo.Html(shown.paragraphs([scenario_sentence(found, "What if")], "h2")),
                *(
                    [mo.callout(said(browsing.unsaid(levers)), kind="warn")]
                    if browsing.unsaid(levers)
                    else []
                ),
                said(
                    f"Stated: {found['stated'].values[-1]}. Both are of the same draws and the same luck; the mean "
                    f"difference has a standard error of {error:,.2f} by simulation."
                ),
                mo.Html(shown.picture(plot_scenarios(found), scenario_sentence(found, "What if"))),
                browsed(rows),
                mo.download(
                    lambda: shown.csv_bytes(table(found)), filename="what-if.csv", label="Download as CSV"
                ),
            ]
        )

    _compared()
    return


@app.cell
def _(browsing, mo, opened, said, tab):
    mo.stop(tab.value != "Channels")
    columns = opened.run.groupings
    mo.stop(
        not columns or not opened.with_money,
        said(
            "The run does not tell channels apart. Run again with amounts and with --groups and the column of the "
            "channels, as 'bayes-clv channels --help' says."
        ),
    )
    by = mo.ui.dropdown(columns, value=columns[0], label="Channels by")
    by
    return (by,)


@app.cell
def _(browsing, by, mo, opened, shown):
    worth = browsing.channels_of(opened, by.value)
    of_all = mo.ui.text(placeholder="12.50", label="every channel, where nothing else is said")
    costs = mo.ui.dictionary({each: mo.ui.text(label=shown.label(each)) for each in browsing.names_of(worth)})
    mo.vstack(
        [
            mo.Html(shown.paragraphs(["What does a new customer cost?"], "h2")),
            mo.hstack([of_all, *costs.elements.values()], wrap=True, justify="start", gap=1.5),
        ]
    )
    return costs, of_all, worth


@app.cell
def _(
    InputError,
    browsed,
    browsing,
    channels_summary,
    compare_channels,
    costs,
    mo,
    of_all,
    opened,
    plot_channels,
    plot_payback,
    said,
    shown,
    table,
    trouble,
    worth,
):
    def _channels():
        try:
            stated = browsing.costs_of(costs.value, of_all.value)
            if stated is None:
                return said(
                    "Say what a customer of each channel, or of every channel, costs: that is held against its worth."
                )
            found = compare_channels(worth, stated, seed=opened.run.seed)
        except InputError as error:
            return trouble(error)
        rows = table(found)
        return mo.vstack(
            [
                said(*channels_summary(found, browsing.earned_words(opened))),
                mo.Html(
                    shown.picture(
                        plot_channels(found), "What a new customer of each channel is worth beside its cost"
                    )
                ),
                mo.Html(
                    shown.picture(
                        plot_payback(found), "When a new customer of each channel has paid its cost"
                    )
                ),
                browsed(rows.round(3)),
                mo.download(lambda: shown.csv_bytes(rows), filename="channels.csv", label="Download as CSV"),
            ]
        )

    _channels()
    return


if __name__ == "__main__":
    app.run()
