"""The page as a browser gets it: HTML, CSS and JavaScript, served by `service.api.page` as they lie here."""
