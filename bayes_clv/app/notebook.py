"""The page of ``bayes-clv app``: cells that show what ``browsing`` answers; no formula and no file name is here."""

import marimo

app = marimo.App(width="medium", app_title="bayes_clv", css_file="notebook.css")


@app.cell
def _():
    import marimo as mo

    from bayes_clv.app import browsing
    from bayes_clv.schema import InputError

    return InputError, browsing, mo


@app.cell
def _(browsing, mo):
    given = mo.cli_args()
    opened = browsing.open_run(str(given.get("run")), given.get("draws"))

    def said(*lines):
        return mo.Html(browsing.paragraphs(lines))

    def trouble(error):
        return mo.callout(said(str(error)), kind="warn")

    def browsed(frame):
        return mo.ui.table(
            frame, selection=None, show_column_summaries=False, show_data_types=False, show_download=False
        )

    return browsed, opened, said, trouble


@app.cell
def _(browsing, mo, opened, said):
    failed = opened.run.failed
    head = browsing.paragraphs([f"Customers of {opened.name}"], "h1")
    lead = said(
        f"{opened.people:,} customers, the next {opened.ahead}; intervals hold 90 %. Segments and scenarios are of "
        f"{opened.draws} posterior draws."
    )
    checks = (
        mo.callout(
            said("Of the run's checks failed:", *failed, "Its report says what that means."), kind="warn"
        )
        if failed
        else said("All checks of the run passed.")
    )
    tab = mo.ui.radio(["Customers", "Segments", "What if", "Channels"], value="Customers", label="Show")
    mo.vstack([mo.Html(head), lead, checks, tab])
    return (tab,)


@app.cell
def _(mo, tab):
    mo.stop(tab.value != "Customers")
    where = mo.ui.text(
        label="Customers of whom (empty: all)",
        placeholder="frequency >= 2 and probability_alive > 0.5",
        full_width=True,
    )
    where
    return (where,)


@app.cell
def _(InputError, browsing, mo, opened, said, trouble, where):
    try:
        chosen = browsing.customers_where(opened, where.value)
        wrong = None
    except InputError as error:
        chosen, wrong = opened.listed, trouble(error)
    people = mo.ui.table(
        chosen,
        selection="single",
        page_size=10,
        show_column_summaries=False,
        show_data_types=False,
        show_download=False,
        freeze_columns_left=["customer"],
    )
    saved = mo.download(
        lambda: browsing.csv_bytes(chosen), filename="customers.csv", label="Download these as CSV"
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
def _(browsing, mo, opened, people, said):
    mo.stop(len(people.value) == 0)
    name = str(people.value["customer"].iloc[0])
    one = browsing.one_customer(opened, name)
    mo.vstack(
        [
            mo.Html(browsing.paragraphs([f"Customer {name}"], "h2")),
            said(*one.words),
            mo.Html(browsing.picture(one.future, f"Future of customer {name}: {one.words[1]}")),
            said(one.why)
            if one.history is None
            else mo.Html(browsing.picture(one.history, f"History of customer {name}: {one.words[0]}")),
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
def _(InputError, browsed, browsing, mo, opened, own, preset, said, trouble, written):
    from bayes_clv.views import table as _table
    from bayes_clv.views.plots.segments import plot_segment_sizes as _sizes
    from bayes_clv.workflows.segmenting import segment_summary as _summary

    def _segmented():
        rule = (written.value or browsing.OWN_RULE) if own else preset.value
        try:
            found = browsing.segments_of(opened, rule)
        except InputError as error:
            return trouble(error)
        money = opened.with_money
        earned = browsing.earned_words(opened)
        rows = _table(found, by="segment").round(2)
        lists = _table(found, by="customer")
        return mo.vstack(
            [
                said(*browsing.unlisted(_summary(found, file="the table below", earned=earned))),
                mo.Html(browsing.picture(_sizes(found), "How many customers are in each segment, with 90 %")),
                mo.Html(
                    browsing.picture(
                        _sizes(found, quantity="value" if money else "purchases"),
                        "What each segment brings, with 90 %",
                    )
                ),
                browsed(rows),
                mo.download(
                    lambda: browsing.csv_bytes(lists),
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
                0, 1, 0.01, value=round(opened.run.margin, 2), debounce=True, label="margin", show_value=True
            )
        most = browsing.dearest(opened)
        return mo.ui.slider(0, most, most / 50, value=0, debounce=True, label=words, show_value=True)

    sliders = mo.ui.dictionary({name: _slider(name) for name in allowed})
    whom = mo.ui.text(
        label="For whom (empty: everybody)",
        placeholder="frequency >= 1 and probability_alive > 0.5",
        full_width=True,
    )
    mo.vstack([mo.hstack(list(sliders.elements.values()), wrap=True, justify="start", gap=1.5), whom])
    return sliders, whom


@app.cell
def _(InputError, browsed, browsing, mo, opened, said, sliders, trouble, whom):
    from bayes_clv.views import table as _table
    from bayes_clv.views.plots.scenarios import plot_scenarios as _plot
    from bayes_clv.views.reporting.scenarios import scenario_sentence as _sentence

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
                mo.Html(browsing.paragraphs([_sentence(found, "What if")], "h2")),
                said(
                    f"Stated: {found['stated'].values[-1]}. Both are of the same draws and the same luck; the mean "
                    f"difference has a standard error of {error:,.2f} by simulation."
                ),
                mo.Html(browsing.picture(_plot(found), _sentence(found, "What if"))),
                browsed(rows),
                mo.download(
                    lambda: browsing.csv_bytes(_table(found)), filename="what-if.csv", label="Download as CSV"
                ),
            ]
        )

    _compared()
    return


@app.cell
def _(browsing, mo, opened, said, tab):
    mo.stop(tab.value != "Channels")
    columns = browsing.groupings_of(opened)
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
def _(browsing, by, mo, opened):
    worth = browsing.channels_of(opened, by.value)
    names, most = browsing.costs_to_try(worth)
    costs = mo.ui.dictionary(
        {
            each: mo.ui.slider(
                0,
                most,
                most / 100,
                value=most / 4,
                debounce=True,
                label=browsing.label(each),
                show_value=True,
            )
            for each in names
        }
    )
    mo.vstack(
        [
            mo.Html(browsing.paragraphs(["What does a new customer of each channel cost?"], "h2")),
            mo.hstack(list(costs.elements.values()), wrap=True, justify="start", gap=1.5),
        ]
    )
    return costs, worth


@app.cell
def _(InputError, browsed, browsing, costs, mo, opened, said, trouble, worth):
    from bayes_clv.valuation.channels import compare_channels as _compare
    from bayes_clv.views import table as _table
    from bayes_clv.views.plots.channels import plot_channels as _plot
    from bayes_clv.views.plots.channels import plot_payback as _payback
    from bayes_clv.workflows.acquiring import channels_summary as _summary

    def _channels():
        try:
            found = _compare(worth, dict(costs.value), seed=opened.run.seed)
        except InputError as error:
            return trouble(error)
        rows = _table(found)
        return mo.vstack(
            [
                said(*_summary(found, browsing.earned_words(opened))),
                mo.Html(
                    browsing.picture(
                        _plot(found), "What a new customer of each channel is worth beside its cost"
                    )
                ),
                mo.Html(
                    browsing.picture(_payback(found), "When a new customer of each channel has paid its cost")
                ),
                browsed(rows.round(3)),
                mo.download(
                    lambda: browsing.csv_bytes(rows), filename="channels.csv", label="Download as CSV"
                ),
            ]
        )

    _channels()
    return


if __name__ == "__main__":
    app.run()
