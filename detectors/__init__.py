"""Pure numbers: bins, counts, references and every statistic. No I/O, no clock, numpy and scipy.special only."""
