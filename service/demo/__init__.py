"""The demo data: hourly bike rentals in Washington, D.C., 2011 and 2012, with a model's predictions."""
