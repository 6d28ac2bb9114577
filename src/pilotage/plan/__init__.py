"""The cheapest deployment that physics, prices and the SLO allow."""
