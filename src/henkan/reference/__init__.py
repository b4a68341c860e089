"""The equations in NumPy, with their gradients worked out by hand: lessons first, and what the torch parts must equal.

Nothing here imports anything but NumPy, and nothing here is fast. Each file opens with the equations and derives the
gradients; the code below them follows line by line. A good order to read:

1. ``activations``      functions of one number, their slopes told from their values
2. ``rnn``              the simple recurrence, back-propagation through time
3. ``truncated``        the same by segments: the state goes on, the gradient stops
4. ``lstm``             the constant error carousel, and every gate that was added to it later
5. ``layer_norm``       normalisation; ``layer_norm_lstm``: inside an LSTM
6. ``gru``              reset before the recurrent product; ``gru_reset_after``: after it
7. ``min_gru``          gates that never see the state
8. ``scores``           how well a query and a key fit: dot, general, additive
9. ``attention``        softmax of the scores, and the expected value

Conventions. Arrays are float64 with the batch first: N rows, T steps or queries, S places of a source, F inputs,
D outputs. A weight is (outputs, inputs), and gates are stacked in rows, named and ordered as in :mod:`henkan.nn`, so
weights can be handed from one to the other. A state is a tuple with the output first. ``d_x`` is the gradient of the
loss L with respect to x and has x's shape. ``forward`` returns what it computes and a tape; ``backward`` takes the tape
and the gradients of what was returned, and gives those of all that went in::

    outputs, last, tape = rnn.forward(weights, inputs, state)
    gradients = rnn.backward(tape, d_outputs, d_last)
    gradients.inputs, gradients.state, gradients.weights.hidden_weight

All sequences of a batch are as long as its longest: padding is bookkeeping, and the lessons leave it to the real thing
(attention alone takes a mask, because a softmax over padding would be wrong).
"""
