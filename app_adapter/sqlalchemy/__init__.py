"""The app's side of the outbox: events and marks in the app's own transactions. Needs the extra `sqlalchemy`, and is
imported where it is used, by `imported()` of `app_adapter.with_sqlalchemy`."""
