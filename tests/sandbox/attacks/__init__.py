"""Programs that try to fool a trial or to get out of it, and a driver that runs them and looks what they gained.

One table of programs a module: `fakes` want a wrong answer to count as right, `escapes` want something outside their
process, `floods` want more than their share. `naive` runs the harmless ones without any sandbox: an attack that gains
nothing there would prove nothing here.
"""
