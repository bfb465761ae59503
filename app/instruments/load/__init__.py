"""Greenlight's own load driver: closed and open model, exact samples, one core or many.

``driver.LoadDriver`` drives one plan in one event loop; ``making`` makes it as the operator allows;
``shards`` divides a plan among workers. The way of a request: ``questions``, ``models`` (who asks when),
``caller``, ``http1``, ``samples``, ``recording``; ``course`` follows the scenario, ``figures`` sums up.
"""
