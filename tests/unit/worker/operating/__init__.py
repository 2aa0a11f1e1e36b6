"""Tests of the programs that steer a site."""
