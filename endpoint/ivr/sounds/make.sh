#!/bin/sh
# Makes all the WAV files here anew: espeak-ng speaks, sox brings it to mu-law of 8 kHz.
# Debian: apt install espeak-ng sox. Run it in this directory; then put a better voice in its place.
set -eu
cd "$(dirname "$0")"
say() {
    espeak-ng -v en-us -s 150 --stdout "$2" |
        sox -q -t wav - -r 8000 -c 1 -e mu-law "$1.wav" silence 1 0.02 0.5% reverse silence 1 0.02 0.5% reverse gain -n -6 pad 0.05 0.1
}
say welcome "Welcome. Please hold the line. We will connect you with the next free agent."
say nobody "At the moment nobody can take your call. Please try again later. Goodbye."
say still_busy "All agents are still busy. To wait on, press 1. To end the call, press 2."
say rate "How did you like our service? Please press a key, from 1, very bad, to 5, very good."
say thanks "Thank you very much. Goodbye."
say invalid "Sorry, that is not possible."
say enter_password "Please key in your password, and then the pound key."
say wrong_password "That was not right."
say verified "Thank you. You will be connected with your agent again."
say not_verified "Your password could not be checked. You will be connected with your agent again."
say distributors "For urgent matters, press 1. For service in English, press 2. To key in your distributor number first, press 3. To end the call, press 9."
say enter_number "Please key in your distributor number, and then the pound key."
say you_entered "You have entered"
say goodbye "Goodbye."
say queue_position "Your place in the queue is number"
say queue_wait "The expected time of waiting, in minutes, is"
say call_back "We will call you back. Goodbye."
for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 30 40 50 60 70 80 90 \
    hundred thousand star pound a b c d; do
    say "digits/$n" "$n"
done
