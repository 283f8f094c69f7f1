#!/bin/sh
# Makes input.data and test.data from extended-xyz files of GeTe:
#
#     sh prepare.sh FOLDER        FOLDER holds gete_300K.extxyz.gz, gete_450K.extxyz.gz, ...
#
# Other temperatures: TRAIN="300 900" OTHER="600 1050" sh prepare.sh FOLDER
# Frames of one file follow each other in time, so the split is by time and by temperature, never random:
#   input.data  frames 0, 4, ... 136 of each temperature in TRAIN (fitted), 140, 144, 148 (to choose the epoch)
#   test.data   frames 152, 156, ... 196 of each temperature in TRAIN, frames 0, 4, ... 36 of each in OTHER
set -eu

folder=${1:?usage: sh prepare.sh FOLDER_WITH_EXTXYZ_FILES}
train=${TRAIN:-300 600 900}
other=${OTHER:-750 1050 1200 1500}
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
convert="${PYTHON:-python} ${CONVERT:-$here/../../tools/convert.py} --units metal --every 4"

rm -f draft_input.data draft_test.data
for t in $train; do
    file=$folder/gete_${t}K.extxyz.gz
    $convert --append --skip 0 --max 35 --set train --label "${t}K" "$file" draft_input.data
    $convert --append --skip 140 --max 3 --set test --label "${t}K" "$file" draft_input.data
    $convert --append --skip 152 --max 12 --label "${t}K_held_out" "$file" draft_test.data
done
for t in $other; do
    $convert --append --skip 0 --max 10 --label "${t}K" "$folder/gete_${t}K.extxyz.gz" draft_test.data
done
mv draft_input.data input.data
mv draft_test.data test.data
