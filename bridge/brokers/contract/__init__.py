"""A broker's promises, as protocols and values. One contract suite tests both brokers against them."""
