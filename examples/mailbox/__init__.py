"""A shop that puts labels into a mailbox, and a printer that fetches them at its own pace."""
