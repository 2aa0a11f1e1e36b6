"""Tests of bridge, without a broker, a process or a clock."""
