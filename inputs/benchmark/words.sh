#!/bin/sh
# Water of n2p2's examples, trained in RuNNer's, n2p2's and bnnp's own words: errors after each of eight epochs.
# From the top of the project: sh inputs/benchmark/words.sh FOLDER; FOLDER holds that input.nn and input.data.
set -eu
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cp "$1/input.data" "$folder"
# the functions, the networks and the data, without any word about the training
grep -v -E '^(updater|gradient|kalman|selection|task|rmse|short|force_weight|jacobian|update_|epochs)' "$1/input.nn" \
    > "$folder/input.nn"

kalman="kalman_lambda_short 0.98;kalman_nue_short 0.9987"
shares="short_energy_fraction 1;short_force_fraction 0.1"
runner="optmode_short_energy 1;$kalman;repeated_energy_update;$shares"
thresholds="short_energy_error_threshold 0.8;short_force_error_threshold 0.8"
n2p2="updater_type 1;kalman_type 0;kalman_epsilon 0.01;kalman_q0 0.01;kalman_qtau 2.302;kalman_qmin 1e-6"
n2p2="$n2p2;force_weight 10;short_energy_fraction 1;short_force_error_threshold 1"

python tools/benchmark.py train "$folder" --set "epochs 8" --set "dropout_rate 0" --every 1 \
    --each "$runner;$thresholds" \
    --each "$runner;$thresholds;global_nodes_short 15 15" \
    --each "$runner;short_force_group 10" \
    --each "$n2p2;short_force_fraction 0.0041" \
    --each "$n2p2;short_force_fraction 0.0041;update_strategy 1" \
    --each "$n2p2;short_force_fraction 0.05;task_batch_size_force 10" \
    --each "optimizer kalman;energy_weight 1"
