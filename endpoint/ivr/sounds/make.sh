#!/bin/sh
# Makes all the WAV files here anew: espeak-ng speaks, sox brings it to mu-law of 8 kHz.
# Debian: apt install espeak-ng sox. Run it in this directory; then put a better voice in its place.
set -eu
cd "$(dirname "$0")"
voice=en-us
say() {
    espeak-ng -v "$voice" -s 150 --stdout "$2" |
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
    hundred thousand minus point star pound a b c d january february march april may june \
    july august september october november december; do
    say "digits/$n" "$n"
done

# Mandarin, as pinyin with its tones: espeak-ng reads no characters without data of its own.
voice=cmn-latn-pinyin
mkdir -p zh/digits
say zh/welcome "nin2 hao3. huan1 ying2 zhi4 dian4. qing3 shao1 hou4, zheng4 zai4 wei4 nin2 jie1 tong1 ke4 fu2."
say zh/nobody "dui4 bu4 qi3, xian4 zai4 wu2 ren2 jie1 ting1. qing3 shao1 hou4 zai4 bo1. zai4 jian4."
say zh/still_busy "zuo4 xi2 quan2 mang2. ji4 xu4 deng3 dai4, qing3 an4 yi1. jie2 shu4 tong1 hua4, qing3 an4 er4."
say zh/rate "qing3 dui4 ben3 ci4 fu2 wu4 ping2 fen1. cong2 yi1, fei1 chang2 bu4 man3 yi4, dao4 wu3, fei1 chang2 man3 yi4. qing3 an4 jian4."
say zh/thanks "xie4 xie5. zai4 jian4."
say zh/invalid "dui4 bu4 qi3, shu1 ru4 you3 wu4."
say zh/enter_password "qing3 shu1 ru4 mi4 ma3, yi3 jing3 hao4 jian4 jie2 shu4."
say zh/wrong_password "mi4 ma3 cuo4 wu4."
say zh/verified "xie4 xie5. ji2 jiang1 wei4 nin2 zhuan3 hui2 ke4 fu2."
say zh/not_verified "mi4 ma3 yan4 zheng4 shi1 bai4. ji2 jiang1 wei4 nin2 zhuan3 hui2 ke4 fu2."
say zh/distributors "jin3 ji2 shi4 wu4, qing3 an4 yi1. ying1 yu3 fu2 wu4, qing3 an4 er4. shu1 ru4 jing1 xiao1 shang1 bian1 hao4, qing3 an4 san1. jie2 shu4 tong1 hua4, qing3 an4 jiu3."
say zh/enter_number "qing3 shu1 ru4 jing1 xiao1 shang1 bian1 hao4, yi3 jing3 hao4 jian4 jie2 shu4."
say zh/you_entered "nin2 shu1 ru4 de5 shi4"
say zh/goodbye "zai4 jian4."
say zh/queue_position "nin2 de5 pai2 dui4 xu4 hao4 shi4"
say zh/queue_wait "yu4 ji4 deng3 dai4 fen1 zhong1 shu4 wei2"
say zh/call_back "wo3 men5 hui4 gei3 nin2 hui2 dian4. zai4 jian4."
while read -r name pinyin; do
    say "zh/digits/$name" "$pinyin"
done <<END
0 ling2
1 yi1
2 er4
3 san1
4 si4
5 wu3
6 liu4
7 qi1
8 ba1
9 jiu3
10 shi2
yao yao1
liang liang3
hundred bai3
thousand qian1
ten_thousand wan4
minus fu4
point dian3
star xing1 hao4
pound jing3 hao4
year nian2
month yue4
day ri4
END
voice=en-us
for n in a b c d; do
    say "zh/digits/$n" "$n"
done
