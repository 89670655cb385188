"""Bayesian customer lifetime value: an order log in, posterior distributions of value out.

The pipeline, one stage a folder, each importing only from earlier ones::

    customers > inference > predictions > scoring, segments > targeting, valuation > views > workflows

Each folder is also the namespace of its subject: ``clv.segments``, ``clv.targeting``, ``clv.views``, ...; the closed
forms of the expected level are in ``clv.expected``, order logs of a stated truth in ``clv.synthetic``.

Examples
--------
>>> import bayes_clv as clv
>>> orders = clv.load_cdnow()
>>> customers = clv.summarize(orders, until="1997-09-30", time_unit="week")
>>> buying = clv.fit("bg_nbd", customers, method="laplace", seed=1)
>>> spending = clv.fit("gamma_gamma", customers, method="laplace", seed=2)
>>> value = clv.predict(buying, customers, "52 weeks", spending=spending, margin=0.3,
...                     annual_discount_rate=0.10, seed=3)
>>> value.sizes["customer"]
2357
"""

from importlib.metadata import version

import lazy_loader

# Names are imported on first use: PyMC, ArviZ and Ibis take seconds, and `bayes-clv --help` needs none.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = version("bayes_clv")
